"""Configuration keys of the networks, and their translation into `create_*` calls."""

from torch import nn

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Limits, declare_limits, one_of
from stica_pv.errors import UsageError
from stica_pv.models.activation_checkpoint import checkpoint_stages
from stica_pv.models.audio_resnet import AudioEncoderNet
from stica_pv.models.backbones import accepted_settings, create_backbone
from stica_pv.models.pooling import POSITIONS, READ_OUTS, Pooling
from stica_pv.models.projection import ProjectionHead, create_projection_head
from stica_pv.registry import AUDIO_ENCODERS, POOLINGS


def add_model_config(cfg: CfgNode) -> None:
    """Declares MODEL, POOL, HEAD, BN and the network keys of AUDIO."""
    model = section(cfg, "MODEL")
    model.ARCH = "r2plus1d_18"  # one of --list backbones; pytorchvideo:<name>, torchvision:<name>, <module>:<function>
    model.WIDTH = 0  # channels of the first stage, for backbones with variable width; 0: as published
    model.ACT_CHECKPOINT = False  # recompute the trunk's activations in the backward pass: less memory, more time
    model.CHANNELS_LAST = True  # memory format of the convolutions: faster, equal up to rounding

    audio = section(cfg, "AUDIO")
    audio.ARCH = "resnet9"  # one of --list audio_encoders
    audio.WIDTH = 64

    pool = section(cfg, "POOL")
    pool.NAME = "transformer"  # one of --list poolings
    pool.DIM = 0  # width of the transformer; 0: min(channels, 512)
    pool.LAYERS = 2
    pool.HEADS = 4
    pool.MAX_TOKENS = 16  # tokens K = min(T', MAX_TOKENS)
    pool.READ_OUT = "first"  # first | cls | mean
    pool.POSITIONS = False  # learned position embeddings
    pool.POSITION_STD = 0.02  # standard deviation of their normal initial values; 1.0 as released
    pool.VALUE_PROJECTION = False  # value and output projections in the attention

    head = section(cfg, "HEAD")
    head.DIM = 256  # length of the embedding in which the loss compares
    head.HIDDEN_DIM = 512  # 0: a single linear layer, without dropout
    head.DROPOUT = 0.3

    section(cfg, "BN").SYNC = True  # batch-norm statistics over all processes


def backbone_from_config(cfg: CfgNode, channels: int = 3) -> nn.Module:
    """Builds the video trunk, for the training clips if it accepts a single size; 2 channels for optical flow."""
    arch, width = cfg.MODEL.ARCH, cfg.MODEL.WIDTH
    accepted = accepted_settings(arch)
    if channels != 3 and "channels" not in accepted:
        raise UsageError(f"MODEL.ARCH {arch} does not support optical flow; use tsm_resnet50 or tsm_resnet14")
    if width and "width" not in accepted:
        raise UsageError(f"MODEL.WIDTH {width}: the width of {arch} is fixed; set it to 0")
    requested = {"frames": cfg.DATA.NUM_FRAMES, "size": cfg.DATA.TRAIN_CROP_SIZE} | ({"width": width} if width else {})
    requested |= {"channels": channels} if channels != 3 else {}
    backbone = create_backbone(arch, **{key: value for key, value in requested.items() if key in accepted})
    return checkpoint_stages(backbone) if cfg.MODEL.ACT_CHECKPOINT else backbone


def audio_encoder_from_config(cfg: CfgNode) -> AudioEncoderNet:
    """Builds the audio tower."""
    return AUDIO_ENCODERS.build(cfg.AUDIO.ARCH, width=cfg.AUDIO.WIDTH)


def pool_from_config(cfg: CfgNode, in_channels: int) -> Pooling:
    """Builds the pooling head for a map of `in_channels`."""
    return POOLINGS.build(
        cfg.POOL.NAME,
        in_channels=in_channels,
        dim=cfg.POOL.DIM,
        layers=cfg.POOL.LAYERS,
        heads=cfg.POOL.HEADS,
        max_tokens=cfg.POOL.MAX_TOKENS,
        read_out=cfg.POOL.READ_OUT,
        positions=cfg.POOL.POSITIONS,
        position_std=cfg.POOL.POSITION_STD,
        value_projection=cfg.POOL.VALUE_PROJECTION,
    )


def head_from_config(cfg: CfgNode, in_dim: int) -> ProjectionHead | nn.Linear:
    """Builds a projection head."""
    head = cfg.HEAD
    return create_projection_head(
        in_dim=in_dim, hidden_dim=head.HIDDEN_DIM, out_dim=head.DIM, dropout=head.DROPOUT, synchronize=cfg.BN.SYNC
    )


declare_limits(
    {
        "MODEL.WIDTH": NOT_NEGATIVE,
        "AUDIO.WIDTH": AT_LEAST_ONE,
        "POOL.DIM": NOT_NEGATIVE,
        "POOL.LAYERS": AT_LEAST_ONE,
        "POOL.HEADS": AT_LEAST_ONE,
        "POOL.MAX_TOKENS": Limits(low=1, high=POSITIONS),
        "POOL.POSITION_STD": POSITIVE,
        "POOL.READ_OUT": one_of(*READ_OUTS),
        "HEAD.DIM": AT_LEAST_ONE,
        "HEAD.HIDDEN_DIM": NOT_NEGATIVE,
        "HEAD.DROPOUT": Limits(low=0, high=0.99),
    }
)
