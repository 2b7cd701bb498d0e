"""Keys of fine-tuning, and the settings of its test; see `recipe` for its training."""

from dataclasses import dataclass

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, declare_limits, one_of
from stica_pv.errors import UsageError
from stica_pv.evaluation.requests import STARTS, FeatureRequest

SCHEDULES = ("intended", "released")
AVERAGES = ("logits", "probabilities")
TRANSFORMS = ("fixed", "released")


def add_finetune_config(cfg: CfgNode) -> None:
    """Declare TEST.FINETUNE: STiCA's recipe for UCF-101 and HMDB-51."""
    finetune = section(section(cfg, "TEST"), "FINETUNE")
    finetune.EPOCHS = 12
    finetune.CLIPS_PER_VIDEO = 10  # random clips per training epoch
    finetune.BATCH_SIZE = 32  # global: the sum over all processes
    finetune.BASE_LR = 0.02  # of the classifier after warm-up; see CLASSIFICATION for trunk and pooling head
    finetune.LR_REFERENCE_BATCH = 32  # lr = BASE_LR × BATCH_SIZE / this; 0: BASE_LR as it is
    finetune.WARMUP_EPOCHS = 2
    finetune.WARMUP_START = 0.125  # share of the learning rate at the start of warm-up
    finetune.LR_STEPS = [6, 10]  # epochs after which the learning rate is multiplied
    finetune.LR_GAMMA = 0.05
    finetune.SCHEDULE = "intended"  # intended | released: warm-up in steps of an epoch, LR_STEPS one epoch late
    finetune.MOMENTUM = 0.9
    finetune.WEIGHT_DECAY = 5e-3
    finetune.SYNC_BN = True  # statistics over the global batch; released: False, over each process
    finetune.NUM_FRAMES = 0  # frames per clip; 0: as in pre-training
    finetune.CROP_SIZE = 128  # in training; at test the short side is scaled to it
    finetune.TEST_CLIPS = 10
    finetune.TEST_CROPS = 3  # 1: center, 3: both ends of the longer side too
    finetune.COLOR_JITTER_PROB = 0.8  # in training and in a released test; independent of pre-training
    finetune.TEST_TRANSFORM = "fixed"  # fixed | released (random short side and color jitter at test)
    finetune.TEST_STARTS = (
        "spaced"  # spaced (from the first to the last possible start) | released (frame ⌊slack k / n⌋)
    )
    finetune.AVERAGE = "logits"  # logits | probabilities: what is averaged over the views of a video
    finetune.TEST_FROM_EPOCH = 8  # first epoch to test after


declare_limits(
    {
        "TEST.FINETUNE.EPOCHS": AT_LEAST_ONE,
        "TEST.FINETUNE.CLIPS_PER_VIDEO": AT_LEAST_ONE,
        "TEST.FINETUNE.BATCH_SIZE": Limits(low=2),
        "TEST.FINETUNE.BASE_LR": Limits(low=0, high=1000),
        "TEST.FINETUNE.LR_REFERENCE_BATCH": NOT_NEGATIVE,
        "TEST.FINETUNE.WARMUP_EPOCHS": NOT_NEGATIVE,
        "TEST.FINETUNE.WARMUP_START": SHARE,
        "TEST.FINETUNE.LR_STEPS": Limits(low=1, ordered=True),
        "TEST.FINETUNE.LR_GAMMA": POSITIVE,
        "TEST.FINETUNE.SCHEDULE": one_of(*SCHEDULES),
        "TEST.FINETUNE.MOMENTUM": SHARE,
        "TEST.FINETUNE.WEIGHT_DECAY": NOT_NEGATIVE,
        "TEST.FINETUNE.NUM_FRAMES": NOT_NEGATIVE,
        "TEST.FINETUNE.CROP_SIZE": Limits(low=8),
        "TEST.FINETUNE.TEST_CLIPS": AT_LEAST_ONE,
        "TEST.FINETUNE.TEST_CROPS": Limits(low=1, high=3),
        "TEST.FINETUNE.TEST_TRANSFORM": one_of(*TRANSFORMS),
        "TEST.FINETUNE.COLOR_JITTER_PROB": SHARE,
        "TEST.FINETUNE.TEST_STARTS": one_of(*STARTS),
        "TEST.FINETUNE.AVERAGE": one_of(*AVERAGES),
        "TEST.FINETUNE.TEST_FROM_EPOCH": AT_LEAST_ONE,
    }
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
    """

    clips_per_video: int
    test_from: int
    request: FeatureRequest
    average: str
    frames: int
    size: int
    jitter_prob: float
    seed: int


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
    )


def exact_name(cfg: CfgNode) -> str:
    """Return the exact name of the protocol."""
    finetune, scales = cfg.TEST.FINETUNE, cfg.CLASSIFICATION
    frames = f"{finetune.NUM_FRAMES} frames" if finetune.NUM_FRAMES else "frames as pre-trained"
    views = f"{finetune.TEST_CLIPS} x {finetune.TEST_CROPS} {finetune.TEST_TRANSFORM} views"
    views += _unless("at {} starts", finetune.TEST_STARTS, "spaced")
    views += _unless("colors of {:.0%} changed", finetune.COLOR_JITTER_PROB, 0.8)
    views += _unless("short videos {}", scales.SHORT_VIDEOS, "loop")
    return (
        f"finetune (SGD, {finetune.EPOCHS} epochs of {finetune.CLIPS_PER_VIDEO} clips a video, batch "
        f"{finetune.BATCH_SIZE}, lr {finetune.BASE_LR:g} trunk x{scales.BACKBONE_LR_SCALE:g} pooling "
        f"x{scales.POOL_LR_SCALE:g}, {finetune.SCHEDULE} schedule, weight decay {finetune.WEIGHT_DECAY:g}, "
        f"{'synchronized' if finetune.SYNC_BN else 'unsynchronized'} batch-norm, {frames}, {finetune.CROP_SIZE} px, "
        f"mean of {finetune.AVERAGE} over {views})"
    )


def _unless(template: str, value: object, usual: object) -> str:
    return "" if value == usual else ", " + template.format(value)
