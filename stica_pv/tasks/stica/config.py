"""Configuration keys of STiCA, and the builder of its task; other methods share keys of the same meaning."""

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys, declare_task
from stica_pv.config.limits import AT_LEAST_ONE, POSITIVE, SHARE, Limits, one_of
from stica_pv.config.roles import DATA, NETWORK, TRAINING
from stica_pv.models import measure_map
from stica_pv.models.config import audio_encoder_from_config, backbone_from_config, head_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks.stica.av_contrastive import AVContrastive
from stica_pv.tasks.stica.av_params import ClipSettings
from stica_pv.tasks.stica.crop_terms import PAIRINGS, CropSettings
from stica_pv.transforms.config import color_from_config, log_mel_from_config, spatial_from_config

TASK = "av_contrastive"
AUDIO_KEYS = ("AUDIO.MIN_VALID", "AUDIO.VOLUME_JITTER", "DATA.MISSING_AUDIO")  # read by audio-visual methods only
MISSING_AUDIO = ("drop", "silence")
_COUNT = Limits(low=0, high=1000)  # the number of pairs grows with the square

declare_task(
    TASK,
    "STiCA: cross-modal contrast of video and audio, and contrast between feature crops",
    reads=AUDIO_KEYS,
)
declare_keys(
    __name__,
    "CONTRASTIVE",
    NETWORK,
    Key("TEMPERATURE", 0.1, "Temperature of the contrast; in STiCA, between the modalities.", POSITIVE),
    Key("TEMPERATURE_WITHIN", 0.5, "Temperature of the contrast between feature crops.", POSITIVE),
    Key(
        "CROSS_MODAL_WEIGHT",
        0.5,
        "Weight a of the cross-modal loss in L = (1 - a) L_crop + a L_AV.",
        Limits(above=0, high=1),
    ),
    task=TASK,
)
declare_keys(
    __name__,
    "CROP",
    NETWORK,
    Key("NUM_LARGE_SPATIAL", 2, "Number of large spatial windows per view.", _COUNT),
    Key("NUM_SMALL_SPATIAL", 4, "Number of small spatial windows per view.", _COUNT),
    Key("NUM_LARGE_TEMPORAL", 0, "Number of large temporal windows per view.", _COUNT),
    Key("NUM_SMALL_TEMPORAL", 0, "Number of small temporal windows per view.", _COUNT),
    Key(
        "SPATIAL_SIZES",
        [0.857, 0.571],
        "Sides of a large and a small window as shares of the side of the map: 6 and 4 of 7 cells.",
        Limits(above=0, high=1, count=2),
    ),
    Key(
        "TEMPORAL_SIZES",
        [0.75, 0.5],
        "Lengths of a large and a small window as shares of the length of the map: 6 and 4 of 8 steps.",
        Limits(above=0, high=1, count=2),
    ),
    Key("TIME_CAP", 8, "Largest number of steps that lengths are shares of.", AT_LEAST_ONE),
    Key("PAIRING", "all", "Pairs of windows that the loss compares.", one_of(*PAIRINGS)),
    Key("EXCLUSIVE_BOUND", False, "Whether the last position of a window is never sampled, as released."),
    Key("PER_SAMPLE", False, "Whether positions are sampled per sample instead of per step."),
    task=TASK,
)
declare_keys(
    __name__,
    "AUDIO",
    NETWORK,
    Key(
        "HEAD_PASSES",
        1,
        "Passes of the audio through its head; 2 gives each view its own dropout, as released.",
        Limits(low=1, high=2),
    ),
    Key(
        "MIN_VALID",
        0.5,
        "Smallest share of the audio of a clip that must exist for the clip to be compared.",
        SHARE,
    ),
    task=TASK,
)
declare_keys(
    __name__,
    "MODEL",
    TRAINING,
    Key(
        "TOKEN_DROP",
        0.0,
        "Share of the positions of the map that vit_* does not compute in training, random for each clip and view.",
        Limits(low=0, high=0.95),
    ),
    task=TASK,
)
declare_keys(
    __name__,
    "DATA",
    DATA,
    Key("MISSING_AUDIO", "drop", "What happens to videos without audio.", one_of(*MISSING_AUDIO)),
    task=TASK,
)


def clip_from_config(cfg: CfgNode) -> ClipSettings:
    """Builds the clip settings of an audio-visual method."""
    return ClipSettings(
        frames=cfg.DATA.NUM_FRAMES,
        fps=cfg.DATA.TARGET_FPS,
        size=cfg.DATA.TRAIN_CROP_SIZE,
        audio_rate_hz=cfg.AUDIO.SAMPLE_RATE,
        transform=spatial_from_config(cfg),
        silence_allowed=cfg.DATA.MISSING_AUDIO == "silence",
    )


@TASKS.named(TASK)
def av_contrastive_from_config(cfg: CfgNode) -> AVContrastive:
    """Builds STiCA."""
    clip = clip_from_config(cfg)
    backbone = backbone_from_config(cfg)
    channels = measure_map(backbone, frames=clip.frames, size=clip.size)[0]
    pool = pool_from_config(cfg, channels)
    audio_tower = audio_encoder_from_config(cfg)
    crop = cfg.CROP
    return AVContrastive(
        clip=clip,
        color=color_from_config(cfg),
        volume_jitter=cfg.AUDIO.VOLUME_JITTER,
        backbone=backbone,
        pool=pool,
        video_head=head_from_config(cfg, pool.out_dim),
        log_mel=log_mel_from_config(cfg),
        audio_tower=audio_tower,
        audio_head=head_from_config(cfg, audio_tower.out_channels),
        audio_head_passes=cfg.AUDIO.HEAD_PASSES,
        audio_min_valid=cfg.AUDIO.MIN_VALID,
        crops=CropSettings(
            space_large=crop.NUM_LARGE_SPATIAL,
            space_small=crop.NUM_SMALL_SPATIAL,
            time_large=crop.NUM_LARGE_TEMPORAL,
            time_small=crop.NUM_SMALL_TEMPORAL,
            space_sizes=tuple(crop.SPATIAL_SIZES),
            time_sizes=tuple(crop.TEMPORAL_SIZES),
            time_cap=crop.TIME_CAP,
            pairing=crop.PAIRING,
            exclusive_bound=crop.EXCLUSIVE_BOUND,
            per_sample=crop.PER_SAMPLE,
        ),
        token_drop=cfg.MODEL.TOKEN_DROP,
        cross_modal_weight=cfg.CONTRASTIVE.CROSS_MODAL_WEIGHT,
        cross_modal_temperature=cfg.CONTRASTIVE.TEMPERATURE,
        within_modal_temperature=cfg.CONTRASTIVE.TEMPERATURE_WITHIN,
    )
