"""Configuration keys of the networks, and their translation into `create_*` calls."""

from torch import nn

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Limits, one_of
from stica_pv.config.roles import NETWORK, TRAINING, TRUNK
from stica_pv.errors import UsageError
from stica_pv.models.activation_checkpoint import checkpoint_stages
from stica_pv.models.audio_resnet import AudioEncoderNet
from stica_pv.models.backbones import accepted_settings, create_backbone
from stica_pv.models.pooling import POSITIONS, READ_OUTS, Pooling
from stica_pv.models.projection import ProjectionHead, create_projection_head
from stica_pv.registry import AUDIO_ENCODERS, POOLINGS

declare_keys(
    __name__,
    "MODEL",
    TRUNK,
    Key(
        "ARCH",
        "r2plus1d_18",
        "Video trunk: a name of `--list backbones`, pytorchvideo:<name>, torchvision:<name>, timm:<name> (an image "
        "model, frame by frame), hf:<name> (a video model of transformers, or a folder with config.json) or "
        "<module>:<function>.",
    ),
    Key(
        "PRETRAINED",
        False,
        "Whether training begins with the published weights of the trunk; not by default: most learned from labels.",
        role=TRAINING,
    ),
    Key(
        "WIDTH",
        0,
        "Channels of the first stage, of vit_* those of an attention head, for trunks of variable width; "
        "0 takes the published width.",
        NOT_NEGATIVE,
    ),
    Key(
        "ACT_CHECKPOINT",
        False,
        "Whether activations of the trunk are computed again in the backward pass: less memory, more time.",
    ),
    Key(
        "CHANNELS_LAST",
        True,
        "Whether convolutions store channels last, which is faster and equal up to rounding.",
    ),
)
declare_keys(
    __name__,
    "AUDIO",
    NETWORK,
    Key("ARCH", "resnet9", "Audio encoder: a name of `--list audio_encoders`."),
    Key(
        "WIDTH",
        64,
        "Channels of the first stage of the audio encoder; of ast_* those of an attention head.",
        AT_LEAST_ONE,
    ),
)
declare_keys(
    __name__,
    "POOL",
    TRUNK,
    Key("NAME", "transformer", "Pooling head: a name of `--list poolings`."),
    Key("DIM", 0, "Width of the transformer; 0 takes the channels of the trunk, at most 512.", NOT_NEGATIVE),
    Key("LAYERS", 2, "Layers of the transformer.", AT_LEAST_ONE),
    Key("HEADS", 4, "Attention heads of the transformer.", AT_LEAST_ONE),
    Key(
        "MAX_TOKENS",
        16,
        "Largest number of tokens; longer feature maps are averaged down to it.",
        Limits(low=1, high=POSITIONS),
    ),
    Key(
        "READ_OUT",
        "first",
        "Output of the transformer: its first token, a class token, or the mean.",
        one_of(*READ_OUTS),
    ),
    Key("POSITIONS", False, "Whether the transformer has learned position embeddings."),
    Key(
        "POSITION_STD",
        0.02,
        "Standard deviation of the initial position embeddings; the released code has 1.0.",
        POSITIVE,
    ),
    Key("VALUE_PROJECTION", False, "Whether the attention has value and output projections."),
)
declare_keys(
    __name__,
    "HEAD",
    NETWORK,
    Key("DIM", 256, "Length of the embedding that the loss compares.", AT_LEAST_ONE),
    Key(
        "HIDDEN_DIM",
        512,
        "Width of the hidden layer of the projection head; 0 makes it one linear layer without dropout.",
        NOT_NEGATIVE,
    ),
    Key("DROPOUT", 0.3, "Dropout of the projection head.", Limits(low=0, high=0.99)),
)
declare_keys(
    __name__,
    "BN",
    NETWORK,
    Key("SYNC", True, "Whether batch-norm takes its statistics over all processes."),
)


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
    settings = {key: value for key, value in requested.items() if key in accepted}
    backbone = create_backbone(arch, pretrained=cfg.MODEL.PRETRAINED, **settings)
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
