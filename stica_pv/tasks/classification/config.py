"""Configuration keys of classification, and the builder of its task."""

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import NOT_NEGATIVE, declare_limits, one_of
from stica_pv.errors import UsageError
from stica_pv.models import measure_map
from stica_pv.models.config import backbone_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks.classification.classification import Classification, ClassificationClip
from stica_pv.tasks.windows import SHORT_VIDEOS
from stica_pv.transforms.config import color_from_config, spatial_from_config

CLASSIFICATION_KEYS = ("CLASSIFICATION.", "MODEL.NUM_CLASSES")


def add_classification_config(cfg: CfgNode) -> None:
    """Declares CLASSIFICATION and MODEL.NUM_CLASSES."""
    section(cfg, "MODEL").NUM_CLASSES = 0  # for TASK classification; the evaluation finetune derives it from the labels
    classification = section(cfg, "CLASSIFICATION")
    classification.BACKBONE_LR_SCALE = 0.1  # factor on the trunk's learning rate; the classifier's is SOLVER.BASE_LR
    classification.POOL_LR_SCALE = 0.1  # factor on the pooling head's
    classification.SHORT_VIDEOS = "loop"  # loop | repeat_last (as released): videos shorter than a clip


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
    )


@TASKS.named("classification")
def classification_from_config(cfg: CfgNode) -> Classification:
    """Builds the classification task."""
    if cfg.MODEL.NUM_CLASSES < 2:
        raise UsageError(f"TASK classification needs MODEL.NUM_CLASSES, at least 2; got {cfg.MODEL.NUM_CLASSES}")
    clip = classification_clip_from_config(cfg)
    backbone = backbone_from_config(cfg)
    pool = pool_from_config(cfg, measure_map(backbone, frames=clip.frames, size=clip.size)[0])
    return Classification(
        clip=clip,
        backbone=backbone,
        pool=pool,
        dim=pool.out_dim,
        classes=cfg.MODEL.NUM_CLASSES,
        backbone_lr_scale=cfg.CLASSIFICATION.BACKBONE_LR_SCALE,
        pool_lr_scale=cfg.CLASSIFICATION.POOL_LR_SCALE,
    )


declare_limits(
    {
        "MODEL.NUM_CLASSES": NOT_NEGATIVE,
        "CLASSIFICATION.BACKBONE_LR_SCALE": NOT_NEGATIVE,
        "CLASSIFICATION.POOL_LR_SCALE": NOT_NEGATIVE,
        "CLASSIFICATION.SHORT_VIDEOS": one_of(*SHORT_VIDEOS),
    }
)
