"""Configuration keys of CVRL, and the builder of its task; keys shared with STiCA are declared there."""

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys, declare_task
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, one_of
from stica_pv.config.roles import NETWORK
from stica_pv.errors import UsageError
from stica_pv.models import MLPHead, measure_map
from stica_pv.models.config import backbone_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks.cvrl.cvrl import CVRL, REDUCTIONS, PairSettings
from stica_pv.transforms import SimclrColorSettings
from stica_pv.transforms.config import blur_taps, spatial_from_config
from stica_pv.transforms.windows import INTERVALS, IntervalSettings

declare_task(
    "cvrl",
    "CVRL: contrast between two clips of a video",
    reads=("CONTRASTIVE.TEMPERATURE", "DATA.SSL_COLOR_HUE"),
)
declare_keys(
    __name__,
    "CVRL",
    NETWORK,
    Key("INTERVAL", "power", "Distribution of the distance of the two clips.", one_of(*INTERVALS)),
    Key("POWER", 1.0, "Exponent of the decrease of the density with the distance, for INTERVAL power.", POSITIVE),
    Key(
        "GAP_SECONDS",
        0.0,
        "Distance of the clips in seconds, for INTERVAL constant; 0 gives identical starts, SimCLR on videos.",
        NOT_NEGATIVE,
    ),
    Key("REDUCTION", "sum", "How the losses of both clips are combined.", one_of(*REDUCTIONS)),
    Key("HIDDEN_LAYERS", 3, "Hidden layers of the projection head.", AT_LEAST_ONE),
    Key("HEAD_BN_MOMENTUM", 0.003, "Momentum of the batch-norm of the projection head.", SHARE),
    Key(
        "BLUR_PROBS",
        [1.0, 0.1],
        "Probability of a blur of the first and of the second clip; [0.5, 0.5] is symmetric.",
        Limits(low=0, high=1, count=2),
    ),
    Key(
        "SOLARIZE_PROBS",
        [0.0, 0.2],
        "Probability of solarization of the first and of the second clip.",
        Limits(low=0, high=1, count=2),
    ),
    Key("PER_FRAME", False, "Whether colors are sampled per frame instead of per clip, the paper's ablation."),
    task="cvrl",
)


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
