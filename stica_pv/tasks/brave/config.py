"""Configuration keys of BraVe, and the builder of its task; keys shared with STiCA are declared there."""

import dataclasses
from collections.abc import Collection

from torch import nn

from stica_pv.config import CfgNode, with_keys
from stica_pv.config.keys import Key, declare_keys, declare_task
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, one_of
from stica_pv.config.roles import NETWORK
from stica_pv.errors import UsageError
from stica_pv.models import measure_map
from stica_pv.models.config import audio_encoder_from_config, backbone_from_config, pool_from_config
from stica_pv.registry import TASKS
from stica_pv.tasks.brave.brave import BraVe
from stica_pv.tasks.brave.heads import SHARINGS, SharedHeads
from stica_pv.tasks.brave.params import AUDIO, FLOW, VIDEO, BraveVideo, kind_of, name_broad
from stica_pv.tasks.brave.windows import ALIGNMENTS, NARROW
from stica_pv.tasks.stica.config import AUDIO_KEYS, clip_from_config
from stica_pv.transforms import BraveColorSettings, FlowCrop
from stica_pv.transforms.config import blur_taps, log_mel_from_config, spatial_from_config

declare_task(
    "brave",
    "BraVe: regression between a narrow and a broad view",
    reads=("DATA.SSL_COLOR_HUE", "DATA.PATH_TO_FLOW_DIR", "DATA.FLOW_FPS", *AUDIO_KEYS),
)
declare_keys(
    __name__,
    "BRAVE",
    NETWORK,
    Key("BROAD", ["audio"], "Kinds of the broad views: video (once or several times), flow, audio."),
    Key("BROAD_FRAMES", 64, "Frames of a broad view; with BROAD_FPS also the length of the audio.", AT_LEAST_ONE),
    Key("BROAD_FPS", 6.25, "Frames per second of a broad view.", Limits(above=0, high=1000)),
    Key("BROAD_CROP_SIZE", 112, "Side of a broad view in pixels.", Limits(low=8)),
    Key(
        "BROAD_BLUR_KERNEL",
        11,
        "Width of the blur kernel of a broad view in pixels, odd; 0 takes a tenth of BROAD_CROP_SIZE, made odd.",
        NOT_NEGATIVE,
    ),
    Key("RANDOM_CONV_PROB", 1.0, "Probability of a random convolution of broad frames.", SHARE),
    Key("ALIGNMENT", "start", "Position of the narrow window within the broad one.", one_of(*ALIGNMENTS)),
    Key("SHARE_BACKBONE", False, "Whether broad frames use the network of the narrow view, as in SimSiam."),
    Key("HEADS", "all", "Views that share a projector and a predictor.", one_of(*SHARINGS)),
    Key("PREDICTOR_DIM", 4096, "Width of the hidden layer of the predictor.", AT_LEAST_ONE),
    Key("PREDICTOR_LR_SCALE", 10.0, "Factor on the learning rate of the predictor.", POSITIVE),
    Key(
        "WEIGHTS",
        [1.0, 1.0],
        "Weight of the broad views predicting the narrow one, and of the narrow view predicting them.",
        Limits(low=0, count=2),
    ),
    task="brave",
)


@TASKS.named("brave")
def brave_from_config(cfg: CfgNode) -> BraVe:
    """Builds BraVe."""
    brave, head = cfg.BRAVE, cfg.HEAD
    views = name_broad(brave.BROAD)
    if head.DROPOUT or head.HIDDEN_DIM < 1:
        raise UsageError(
            f"BraVe's projector has two layers and no dropout: set HEAD.DROPOUT to 0 (got {head.DROPOUT}) and "
            f"HEAD.HIDDEN_DIM to at least 1 (got {head.HIDDEN_DIM})"
        )
    narrow = clip_from_config(cfg)
    broad = dataclasses.replace(narrow, frames=brave.BROAD_FRAMES, fps=brave.BROAD_FPS, size=brave.BROAD_CROP_SIZE)
    backbone, pool, dim = _video_network(cfg)
    networks, lengths = _broad_networks(cfg, set(brave.BROAD))
    return BraVe(
        narrow=narrow,
        broad=broad,
        video_settings={
            NARROW: _frames(cfg, _kernel(cfg, "DATA.BLUR_KERNEL", narrow.size), 0.0),
            VIDEO: _frames(cfg, _kernel(cfg, "BRAVE.BROAD_BLUR_KERNEL", broad.size), brave.RANDOM_CONV_PROB),
        },
        alignment=brave.ALIGNMENT,
        backbone=backbone,
        pool=pool,
        broad_kinds=brave.BROAD,
        broad_networks=networks,
        log_mel=log_mel_from_config(cfg),
        heads=SharedHeads(
            {NARROW: dim} | {view: lengths.get(kind_of(view), dim) for view in views},
            sharing=brave.HEADS,
            hidden_dim=head.HIDDEN_DIM,
            out_dim=head.DIM,
            predictor_dim=brave.PREDICTOR_DIM,
            synchronize=cfg.BN.SYNC,
        ),
        volume_jitter=cfg.AUDIO.VOLUME_JITTER,
        audio_min_valid=cfg.AUDIO.MIN_VALID,
        flow_crop=FlowCrop(spatial_from_config(cfg)),
        weights=tuple(brave.WEIGHTS),
        predictor_lr_scale=brave.PREDICTOR_LR_SCALE,
    )


def _broad_networks(cfg: CfgNode, kinds: Collection[str]) -> tuple[dict[str, nn.Module], dict[str, int]]:
    """Returns networks of the broad views and their output lengths by kind, except where the narrow one is shared."""
    if cfg.BRAVE.SHARE_BACKBONE and VIDEO not in kinds:
        raise UsageError(f"BRAVE.SHARE_BACKBONE needs broad frames: add video to BRAVE.BROAD, which is {sorted(kinds)}")
    networks: dict[str, nn.Module] = {}
    lengths: dict[str, int] = {}
    for kind, channels in ((VIDEO, 3), (FLOW, 2)):
        if kind in kinds and not (kind == VIDEO and cfg.BRAVE.SHARE_BACKBONE):
            trunk, pool, lengths[kind] = _video_network(_of_broad_view(cfg), channels)
            networks[kind] = nn.Sequential(trunk, pool)
    if AUDIO in kinds:
        tower = audio_encoder_from_config(cfg)
        networks[AUDIO], lengths[AUDIO] = tower, tower.out_channels
    return networks, lengths


def _of_broad_view(cfg: CfgNode) -> CfgNode:
    """Returns the configuration with the broad view's clip, for trunks that are built for one clip size."""
    clip = [("DATA.NUM_FRAMES", cfg.BRAVE.BROAD_FRAMES), ("DATA.TRAIN_CROP_SIZE", cfg.BRAVE.BROAD_CROP_SIZE)]
    return with_keys(cfg, clip)


def _video_network(cfg: CfgNode, channels: int = 3) -> tuple[nn.Module, nn.Module, int]:
    """Returns the trunk, the pooling head, and their output length."""
    backbone = backbone_from_config(cfg, channels)
    pool = pool_from_config(cfg, measure_map(backbone, frames=cfg.DATA.NUM_FRAMES, size=cfg.DATA.TRAIN_CROP_SIZE)[0])
    return backbone, pool, pool.out_dim


def _kernel(cfg: CfgNode, key: str, size: int) -> int:
    part, name = key.split(".")
    taps = blur_taps(cfg[part][name], size)
    if taps % 2 == 0 or taps // 2 >= size:
        raise UsageError(f"{key}: got {taps}, expected an odd number less than {2 * size} for frames of {size} px")
    return taps


def _frames(cfg: CfgNode, blur_kernel: int, convolution_prob: float) -> BraveVideo:
    data = cfg.DATA
    brightness, contrast, saturation = data.SSL_COLOR_BRI_CON_SAT
    color = BraveColorSettings(
        jitter_prob=data.COLOR_JITTER_PROB,
        brightness=brightness,
        saturation=saturation,
        contrast=contrast,
        hue=data.SSL_COLOR_HUE,
        gray_prob=data.COLOR_RND_GRAYSCALE,
        blur_prob=data.BLUR_PROB,
        blur_sigma=tuple(data.BLUR_SIGMA),
        blur_kernel=blur_kernel,
    )
    return BraveVideo(color, convolution_prob, tuple(data.MEAN), tuple(data.STD))
