"""Configuration keys of classification, and the builder of its task."""

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys, declare_task
from stica_pv.config.limits import NOT_NEGATIVE, one_of
from stica_pv.config.roles import NETWORK, TRAINING, TRUNK
from stica_pv.errors import UsageError
from stica_pv.models import measure_map
from stica_pv.models.config import audio_encoder_from_config, backbone_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks.classification.classification import Classification, ClassificationClip
from stica_pv.tasks.encoders import AudioEncoder
from stica_pv.transforms.config import color_from_config, log_mel_from_config, spatial_from_config
from stica_pv.transforms.windows import SHORT_VIDEOS

BOTH = "video+audio"

declare_task("classification", "classification with labels", reads=())
declare_keys(
    __name__,
    "MODEL",
    TRUNK,
    Key(
        "NUM_CLASSES",
        0,
        "Number of classes of TASK classification; the evaluation finetune derives it from the labels.",
        NOT_NEGATIVE,
    ),
    task="classification",
)
declare_keys(
    __name__,
    "CLASSIFICATION",
    NETWORK,
    Key(
        "MODALITY",
        "video",
        "What is classified: frames, or frames and audio; the evaluation finetune derives it from TEST.MODALITY.",
        one_of("video", "video+audio"),
    ),
    task="classification",
)
declare_keys(
    __name__,
    "CLASSIFICATION",
    TRAINING,
    Key(
        "BACKBONE_LR_SCALE",
        0.1,
        "Factor on the learning rate of the trunk; that of the classifier is SOLVER.BASE_LR.",
        NOT_NEGATIVE,
    ),
    Key("POOL_LR_SCALE", 0.1, "Factor on the learning rate of the pooling head.", NOT_NEGATIVE),
    Key(
        "SHORT_VIDEOS",
        "loop",
        "What fills a clip beyond the end of a video; repeat_last, its last frame, is as released.",
        one_of(*SHORT_VIDEOS),
    ),
    task="classification",
)


def classification_clip_from_config(cfg: CfgNode) -> ClassificationClip:
    """Builds the clip settings of a classification."""
    data = cfg.DATA
    return ClassificationClip(
        frames=data.NUM_FRAMES,
        fps=data.TARGET_FPS,
        size=data.TRAIN_CROP_SIZE,
        transform=spatial_from_config(cfg),
        color=color_from_config(cfg),
        short_videos=cfg.CLASSIFICATION.SHORT_VIDEOS,
        audio_rate_hz=cfg.AUDIO.SAMPLE_RATE if cfg.CLASSIFICATION.MODALITY == BOTH else 0,
    )


@TASKS.named("classification")
def classification_from_config(cfg: CfgNode) -> Classification:
    """Builds the classification task."""
    if cfg.MODEL.NUM_CLASSES < 2:
        raise UsageError(f"TASK classification needs MODEL.NUM_CLASSES, at least 2; got {cfg.MODEL.NUM_CLASSES}")
    clip = classification_clip_from_config(cfg)
    backbone = backbone_from_config(cfg)
    pool = pool_from_config(cfg, measure_map(backbone, frames=clip.frames, size=clip.size)[0])
    tower = audio_encoder_from_config(cfg) if clip.audio_rate_hz else None
    return Classification(
        clip=clip,
        backbone=backbone,
        pool=pool,
        dim=pool.out_dim + (tower.out_channels if tower else 0),
        classes=cfg.MODEL.NUM_CLASSES,
        backbone_lr_scale=cfg.CLASSIFICATION.BACKBONE_LR_SCALE,
        pool_lr_scale=cfg.CLASSIFICATION.POOL_LR_SCALE,
        audio=AudioEncoder(log_mel_from_config(cfg), tower) if tower else None,
    )
