"""Configuration keys of CVRL, and the builder of its task; keys shared with STiCA are declared there."""

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, declare_limits, one_of
from stica_pv.errors import UsageError
from stica_pv.models import MLPHead, measure_map
from stica_pv.models.config import backbone_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks.cvrl.cvrl import CVRL, REDUCTIONS, PairSettings
from stica_pv.tasks.windows import INTERVALS, IntervalSettings
from stica_pv.transforms import SimclrColorSettings
from stica_pv.transforms.config import blur_taps, spatial_from_config

CVRL_KEYS = ("CVRL.", "CONTRASTIVE.TEMPERATURE", "DATA.SSL_COLOR_HUE")


def add_cvrl_config(cfg: CfgNode) -> None:
    """Declares CVRL."""
    cvrl = section(cfg, "CVRL")
    cvrl.INTERVAL = "power"  # power | uniform | increasing | constant: distance of the two clips
    cvrl.POWER = 1.0  # for INTERVAL power: exponent of the decrease of the density with the distance
    cvrl.GAP_SECONDS = 0.0  # for INTERVAL constant; 0: identical starts, SimCLR on videos
    cvrl.REDUCTION = "sum"  # sum | mean over the losses of both clips
    cvrl.HIDDEN_LAYERS = 3  # hidden layers of the projection head
    cvrl.HEAD_BN_MOMENTUM = 0.003
    cvrl.BLUR_PROBS = [1.0, 0.1]  # for the first and the second clip; [0.5, 0.5] is symmetric
    cvrl.SOLARIZE_PROBS = [0.0, 0.2]
    cvrl.PER_FRAME = False  # sample colors per frame instead of per clip: the paper's ablation


@TASKS.named("cvrl")
def cvrl_from_config(cfg: CfgNode) -> CVRL:
    """Builds CVRL."""
    data, head = cfg.DATA, cfg.HEAD
    if head.DROPOUT:
        raise UsageError(f"HEAD.DROPOUT is {head.DROPOUT}, but the head of CVRL has no dropout; set it to 0")
    backbone = backbone_from_config(cfg)
    pool = pool_from_config(cfg, measure_map(backbone, frames=data.NUM_FRAMES, size=data.TRAIN_CROP_SIZE)[0])
    return CVRL(
        pair=PairSettings(
            frames=data.NUM_FRAMES,
            fps=data.TARGET_FPS,
            size=data.TRAIN_CROP_SIZE,
            transform=spatial_from_config(cfg),
            interval=IntervalSettings(cfg.CVRL.INTERVAL, cfg.CVRL.POWER, cfg.CVRL.GAP_SECONDS),
            distortion=(_distortion(cfg, 0), _distortion(cfg, 1)),
        ),
        backbone=backbone,
        pool=pool,
        head=MLPHead(
            pool.out_dim,
            hidden_layers=cfg.CVRL.HIDDEN_LAYERS,
            hidden_dim=head.HIDDEN_DIM,
            out_dim=head.DIM,
            momentum=cfg.CVRL.HEAD_BN_MOMENTUM,
            synchronize=cfg.BN.SYNC,
        ),
        temperature=cfg.CONTRASTIVE.TEMPERATURE,
        reduction=cfg.CVRL.REDUCTION,
    )


def _distortion(cfg: CfgNode, view: int) -> SimclrColorSettings:
    data = cfg.DATA
    brightness, contrast, saturation = data.SSL_COLOR_BRI_CON_SAT
    return SimclrColorSettings(
        jitter_prob=data.COLOR_JITTER_PROB,
        brightness=brightness,
        contrast=contrast,
        saturation=saturation,
        hue=data.SSL_COLOR_HUE,
        gray_prob=data.COLOR_RND_GRAYSCALE,
        blur_prob=cfg.CVRL.BLUR_PROBS[view],
        blur_sigma=tuple(data.BLUR_SIGMA),
        blur_kernel=blur_taps(data.BLUR_KERNEL, data.TRAIN_CROP_SIZE),
        solarise_prob=cfg.CVRL.SOLARIZE_PROBS[view],
        per_frame=cfg.CVRL.PER_FRAME,
        mean=tuple(data.MEAN),
        std=tuple(data.STD),
    )


declare_limits(
    {
        "CVRL.INTERVAL": one_of(*INTERVALS),
        "CVRL.POWER": POSITIVE,
        "CVRL.GAP_SECONDS": NOT_NEGATIVE,
        "CVRL.REDUCTION": one_of(*REDUCTIONS),
        "CVRL.HIDDEN_LAYERS": AT_LEAST_ONE,
        "CVRL.HEAD_BN_MOMENTUM": SHARE,
        "CVRL.BLUR_PROBS": Limits(low=0, high=1, count=2),
        "CVRL.SOLARIZE_PROBS": Limits(low=0, high=1, count=2),
    }
)
