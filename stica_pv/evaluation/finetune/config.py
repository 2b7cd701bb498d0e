"""Keys of fine-tuning, and the settings of its test; see `recipe` for its training."""

from dataclasses import dataclass

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, one_of
from stica_pv.config.roles import EVALUATION
from stica_pv.errors import UsageError
from stica_pv.evaluation.requests import BOTH, STARTS, FeatureRequest

SCHEDULES = ("intended", "released")
AVERAGES = ("logits", "probabilities")
TRANSFORMS = ("fixed", "released")

declare_keys(
    __name__,
    "TEST.FINETUNE",
    EVALUATION,
    Key("EPOCHS", 12, "Epochs of fine-tuning.", AT_LEAST_ONE),
    Key("CLIPS_PER_VIDEO", 10, "Random clips of each video per training epoch.", AT_LEAST_ONE),
    Key("BATCH_SIZE", 32, "Global batch size, the sum over all processes.", Limits(low=2)),
    Key(
        "BASE_LR",
        0.02,
        "Learning rate of the classifier after warm-up; CLASSIFICATION scales that of trunk and pooling head.",
        Limits(low=0, high=1000),
    ),
    Key(
        "LR_REFERENCE_BATCH",
        32,
        "Batch size of BASE_LR, which is multiplied by BATCH_SIZE / LR_REFERENCE_BATCH; 0 takes it as it is.",
        NOT_NEGATIVE,
    ),
    Key("WARMUP_EPOCHS", 2, "Length of warm-up in epochs.", NOT_NEGATIVE),
    Key("WARMUP_START", 0.125, "Share of the learning rate at the start of warm-up.", SHARE),
    Key(
        "LR_STEPS",
        [6, 10],
        "Epochs after which the learning rate is multiplied by LR_GAMMA.",
        Limits(low=1, ordered=True),
    ),
    Key("LR_GAMMA", 0.05, "Factor of the learning rate after each of LR_STEPS.", POSITIVE),
    Key(
        "SCHEDULE",
        "intended",
        "Learning rate per step as intended, or per epoch with LR_STEPS one epoch late as released.",
        one_of(*SCHEDULES),
    ),
    Key("MOMENTUM", 0.9, "Momentum of SGD.", SHARE),
    Key("WEIGHT_DECAY", 5e-3, "Weight decay.", NOT_NEGATIVE),
    Key(
        "SYNC_BN",
        True,
        "Whether batch-norm takes its statistics over the global batch; in the released code each process has its own.",
    ),
    Key("NUM_FRAMES", 0, "Frames per clip; 0 takes as many as in pre-training.", NOT_NEGATIVE),
    Key(
        "CROP_SIZE",
        128,
        "Side of a clip in pixels; in the test the short side is scaled to it.",
        Limits(low=8),
    ),
    Key("TEST_CLIPS", 10, "Clips per test video.", AT_LEAST_ONE),
    Key(
        "TEST_CROPS",
        3,
        "Spatial crops per test clip: 1 is the center, 3 adds both ends of the longer side.",
        Limits(low=1, high=3),
    ),
    Key(
        "COLOR_JITTER_PROB",
        0.8,
        "Probability of color jitter in training and in a released test, independent of pre-training.",
        SHARE,
    ),
    Key(
        "TEST_TRANSFORM",
        "fixed",
        "Crop of test clips; released has a random short side and color jitter.",
        one_of(*TRANSFORMS),
    ),
    Key(
        "TEST_STARTS",
        "spaced",
        "Starts of test clips: spaced from the first to the last possible one, or at frame ⌊slack k / n⌋ as released.",
        one_of(*STARTS),
    ),
    Key("AVERAGE", "logits", "What is averaged over the views of a video.", one_of(*AVERAGES)),
    Key("TEST_FROM_EPOCH", 8, "First epoch to test after.", AT_LEAST_ONE),
)


@dataclass(frozen=True)
class FinetuneSettings:
    """Settings of fine-tuning besides the keys of a training.

    Attributes:
        clips_per_video: Clips per video and training epoch.
        test_from: First epoch to test after, counted from 1.
        request: Views of the test.
        average: ``logits`` or ``probabilities``.
        frames: Frames per clip; 0: as in pre-training.
        size: Side of a frame in pixels.
        jitter_prob: Probability of color jitter.
        seed: Seed of the run.
        modalities: What is trained, each in a training of its own: ``video``, or that and ``video+audio``.
    """

    clips_per_video: int
    test_from: int
    request: FeatureRequest
    average: str
    frames: int
    size: int
    jitter_prob: float
    seed: int
    modalities: tuple[str, ...] = ("video",)


def settings_from_config(cfg: CfgNode) -> FinetuneSettings:
    """Translate the keys.

    Raises:
        UsageError: The keys contradict each other.
    """
    finetune = cfg.TEST.FINETUNE
    if finetune.TEST_FROM_EPOCH > finetune.EPOCHS:
        raise UsageError(
            f"TEST.FINETUNE.TEST_FROM_EPOCH {finetune.TEST_FROM_EPOCH} is after the end of training "
            f"(TEST.FINETUNE.EPOCHS {finetune.EPOCHS}): set it to at most that epoch"
        )
    if cfg.TEST.MODALITY == "audio":
        raise UsageError(
            "finetune trains the video network, alone or with that of the audio, but TEST.MODALITY is audio: "
            f"set it to video or {BOTH}"
        )
    request = FeatureRequest(
        clips=finetune.TEST_CLIPS,
        spatial_crops=finetune.TEST_CROPS,
        transform=finetune.TEST_TRANSFORM,
        starts=finetune.TEST_STARTS,
        short_videos=cfg.CLASSIFICATION.SHORT_VIDEOS,
        average=False,
    )
    return FinetuneSettings(
        clips_per_video=finetune.CLIPS_PER_VIDEO,
        test_from=finetune.TEST_FROM_EPOCH,
        request=request,
        average=finetune.AVERAGE,
        frames=finetune.NUM_FRAMES,
        size=finetune.CROP_SIZE,
        jitter_prob=finetune.COLOR_JITTER_PROB,
        seed=cfg.RNG_SEED,
        modalities=("video", BOTH) if cfg.TEST.MODALITY == BOTH else ("video",),
    )


def exact_name(cfg: CfgNode) -> str:
    """Return the exact name of the protocol."""
    finetune, scales = cfg.TEST.FINETUNE, cfg.CLASSIFICATION
    frames = f"{finetune.NUM_FRAMES} frames" if finetune.NUM_FRAMES else "frames as pre-trained"
    views = f"{finetune.TEST_CLIPS} x {finetune.TEST_CROPS} {finetune.TEST_TRANSFORM} views"
    both = f"{BOTH}, vectors appended, " if cfg.TEST.MODALITY == BOTH else ""
    views += _unless("at {} starts", finetune.TEST_STARTS, "spaced")
    views += _unless("colors of {:.0%} changed", finetune.COLOR_JITTER_PROB, 0.8)
    views += _unless("short videos {}", scales.SHORT_VIDEOS, "loop")
    return (
        f"finetune ({both}SGD, {finetune.EPOCHS} epochs of {finetune.CLIPS_PER_VIDEO} clips a video, batch "
        f"{finetune.BATCH_SIZE}, lr {finetune.BASE_LR:g} trunk x{scales.BACKBONE_LR_SCALE:g} pooling "
        f"x{scales.POOL_LR_SCALE:g}, {finetune.SCHEDULE} schedule, weight decay {finetune.WEIGHT_DECAY:g}, "
        f"{'synchronized' if finetune.SYNC_BN else 'unsynchronized'} batch-norm, {frames}, {finetune.CROP_SIZE} px, "
        f"mean of {finetune.AVERAGE} over {views})"
    )


def _unless(template: str, value: object, usual: object) -> str:
    return "" if value == usual else ", " + template.format(value)
