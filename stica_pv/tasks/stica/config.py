"""Configuration keys of STiCA, and the builder of its task; other methods share keys of the same meaning."""

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, POSITIVE, SHARE, Limits, declare_limits, one_of
from stica_pv.errors import UsageError, check_choice
from stica_pv.models import measure_map
from stica_pv.models.config import audio_encoder_from_config, backbone_from_config, head_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks.stica.av_contrastive import AVContrastive
from stica_pv.tasks.stica.av_params import ClipSettings
from stica_pv.tasks.stica.crop_terms import PAIRINGS, CropSettings
from stica_pv.transforms.config import color_from_config, log_mel_from_config, spatial_from_config

# Keys that this method reads and not all others; see `stica_pv.config.ownership`.
AUDIO_KEYS = ("AUDIO.MIN_VALID", "AUDIO.VOLUME_JITTER", "DATA.MISSING_AUDIO")
AV_CONTRASTIVE_KEYS = ("CROP.", "CONTRASTIVE.", "AUDIO.HEAD_PASSES", *AUDIO_KEYS)
MISSING_AUDIO = ("drop", "silence")
MOST_CROPS = 1000  # per kind; the number of pairs grows with the square


def add_av_contrastive_config(cfg: CfgNode) -> None:
    """Declares CONTRASTIVE, CROP and the audio keys of STiCA."""
    contrastive = section(cfg, "CONTRASTIVE")
    contrastive.TEMPERATURE = 0.1  # temperature of the cross-modal loss
    contrastive.TEMPERATURE_WITHIN = 0.5  # temperature among feature crops
    contrastive.CROSS_MODAL_WEIGHT = 0.5  # a in L = (1 - a) L_crop + a L_AV

    crop = section(cfg, "CROP")
    crop.NUM_LARGE_SPATIAL = 2  # windows per view
    crop.NUM_SMALL_SPATIAL = 4
    crop.NUM_LARGE_TEMPORAL = 0
    crop.NUM_SMALL_TEMPORAL = 0
    crop.SPATIAL_SIZES = [
        0.857,
        0.571,
    ]  # side of a large and a small window as a share of the map's: 6 and 4 of 7 cells
    crop.TEMPORAL_SIZES = [0.75, 0.5]  # length as a share of the map's: 6 and 4 of 8 steps
    crop.TIME_CAP = 8  # lengths are shares of at most this many steps
    crop.PAIRING = "all"  # all | released
    crop.EXCLUSIVE_BOUND = False  # never sample the last position, as released
    crop.PER_SAMPLE = False  # sample positions per sample instead of per step

    audio = section(cfg, "AUDIO")
    audio.HEAD_PASSES = 1  # 2: separate dropout of the audio for each view, as released
    audio.MIN_VALID = 0.5  # share of a clip's audio that must be real for it to be compared
    section(cfg, "DATA").MISSING_AUDIO = "drop"  # drop | silence


def clip_from_config(cfg: CfgNode) -> ClipSettings:
    """Builds the clip settings of an audio-visual method."""
    missing = check_choice("DATA.MISSING_AUDIO", cfg.DATA.MISSING_AUDIO, MISSING_AUDIO)
    if min(cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE) < 1 or cfg.DATA.TARGET_FPS <= 0:
        raise UsageError("DATA.NUM_FRAMES, DATA.TRAIN_CROP_SIZE and DATA.TARGET_FPS must be positive")
    return ClipSettings(
        frames=cfg.DATA.NUM_FRAMES,
        fps=cfg.DATA.TARGET_FPS,
        size=cfg.DATA.TRAIN_CROP_SIZE,
        audio_rate_hz=cfg.AUDIO.SAMPLE_RATE,
        transform=spatial_from_config(cfg),
        silence_allowed=missing == "silence",
    )


@TASKS.named("av_contrastive")
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
        cross_modal_weight=cfg.CONTRASTIVE.CROSS_MODAL_WEIGHT,
        cross_modal_temperature=cfg.CONTRASTIVE.TEMPERATURE,
        within_modal_temperature=cfg.CONTRASTIVE.TEMPERATURE_WITHIN,
    )


declare_limits(
    {
        "CONTRASTIVE.TEMPERATURE": POSITIVE,
        "CONTRASTIVE.TEMPERATURE_WITHIN": POSITIVE,
        "CONTRASTIVE.CROSS_MODAL_WEIGHT": Limits(above=0, high=1),
        "CROP.NUM_LARGE_SPATIAL": Limits(low=0, high=MOST_CROPS),
        "CROP.NUM_SMALL_SPATIAL": Limits(low=0, high=MOST_CROPS),
        "CROP.NUM_LARGE_TEMPORAL": Limits(low=0, high=MOST_CROPS),
        "CROP.NUM_SMALL_TEMPORAL": Limits(low=0, high=MOST_CROPS),
        "CROP.SPATIAL_SIZES": Limits(above=0, high=1, count=2),
        "CROP.TEMPORAL_SIZES": Limits(above=0, high=1, count=2),
        "CROP.TIME_CAP": AT_LEAST_ONE,
        "CROP.PAIRING": one_of(*PAIRINGS),
        "AUDIO.HEAD_PASSES": Limits(low=1, high=2),
        "AUDIO.MIN_VALID": SHARE,
        "DATA.MISSING_AUDIO": one_of(*MISSING_AUDIO),
    }
)
