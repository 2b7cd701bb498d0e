"""Layouts of foreign weights, as tables that rename their tensors.

A trunk here has the names of the plain torchvision or pytorchvideo model, so those need no table. SlowFast's names are
those of its `video_model_builder.py`; two-dimensional ResNets are torchvision's.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stica_pv.errors import check_choice

Rules = tuple[tuple[str, str], ...]

MeanStd = tuple[tuple[float, float, float], tuple[float, float, float]]

KINETICS_MEAN_STD = ((0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989))  # torchvision's convolutional networks
IMAGENET_MEAN_STD = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PYTORCHVIDEO_MEAN_STD = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))  # also SlowFast, GDT, STiCA, torchvision's MViT


@dataclass(frozen=True)
class Layout:
    """How a family of files names its tensors.

    Attributes:
        name: Name on the command line.
        holds: Description for the user.
        rules: Pairs (pattern, replacement) of `re.sub`, applied one after the other.
        unused: Patterns of names that need no counterpart here, such as classifiers.
        splits: Pairs (pattern, replacements): one tensor that is cut into equal parts along its first axis.
        marks: Pattern of names that prefer this layout over another one with as many matches.
        inflates: Whether two-dimensional kernels become three-dimensional.
        mean_std: Normalization of the frames, per channel of values in [0, 1].
    """

    name: str
    holds: str
    rules: Rules = ()
    unused: tuple[str, ...] = ()
    splits: tuple[tuple[str, tuple[str, ...]], ...] = ()
    marks: str | None = None
    inflates: bool = False
    mean_std: MeanStd = PYTORCHVIDEO_MEAN_STD

    def rename(self, name: str) -> tuple[str, ...]:
        """Returns our names of a tensor; several if it is split."""
        for pattern, parts in self.splits:
            if re.search(pattern, name):
                return tuple(self._apply_rules(re.sub(pattern, part, name)) for part in parts)
        return (self._apply_rules(name),)

    def leaves_out(self, name: str) -> bool:
        """Whether a tensor without a counterpart here is known to be unused."""
        return any(re.match(pattern, name) for pattern in self.unused)

    def marked(self, names: Iterable[str]) -> bool:
        """Whether one of the names marks this layout."""
        return self.marks is not None and any(re.match(self.marks, name) for name in names)

    def _apply_rules(self, name: str) -> str:
        for pattern, replacement in self.rules:
            name = re.sub(pattern, replacement, name)
        return name


_BOTTLENECK: Rules = (
    (r"\.branch1\.", ".branch1_conv."),
    (r"\.branch1_bn\.", ".branch1_norm."),
    (r"\.branch2\.([abc])\.", r".branch2.conv_\1."),
    (r"\.branch2\.([abc])_bn\.", r".branch2.norm_\1."),
)
# Block numbers of the five stages; a pool after the second stage (C2D, I3D) is counted by pytorchvideo.
_PLAIN_STAGES, _POOLED_STAGES = (0, 1, 2, 3, 4), (0, 1, 3, 4, 5)


def _slowfast_resnet(stages: tuple[int, ...]) -> Rules:
    stem = ((r"^s1\.pathway0_stem\.conv\.", "blocks.0.conv."), (r"^s1\.pathway0_stem\.bn\.", "blocks.0.norm."))
    blocks = tuple(
        (rf"^s{stage}\.pathway0_res(\d+)\.", rf"blocks.{block}.res_blocks.\1.") for stage, block in enumerate(stages, 1)
    )
    return (*stem, *blocks, *_BOTTLENECK, (r"^head\.projection\.", f"blocks.{stages[-1] + 1}.proj."))


def _slowfast_two_pathways() -> Rules:
    stem = (
        (r"^s1\.pathway(\d)_stem\.conv\.", r"blocks.0.multipathway_blocks.\1.conv."),
        (r"^s1\.pathway(\d)_stem\.bn\.", r"blocks.0.multipathway_blocks.\1.norm."),
    )
    blocks = tuple(
        (rf"^s{stage}\.pathway(\d)_res(\d+)\.", rf"blocks.{stage - 1}.multipathway_blocks.\1.res_blocks.\2.")
        for stage in range(2, 6)
    )
    fusions = tuple(
        rule
        for stage in range(1, 5)
        for rule in (
            (rf"^s{stage}_fuse\.conv_f2s\.", f"blocks.{stage - 1}.multipathway_fusion.conv_fast_to_slow."),
            (rf"^s{stage}_fuse\.bn\.", f"blocks.{stage - 1}.multipathway_fusion.norm."),
        )
    )
    return (*stem, *blocks, *fusions, *_BOTTLENECK, (r"^head\.projection\.", "blocks.6.proj."))


def _slowfast_x3d() -> Rules:
    # pytorchvideo calls the stem's convolution in space `conv_t`, and the one in time `conv_xy`.
    return (
        (r"^s1\.pathway0_stem\.conv_xy\.", "blocks.0.conv.conv_t."),
        (r"^s1\.pathway0_stem\.conv\.", "blocks.0.conv.conv_xy."),
        (r"\.branch2\.b_bn\.", ".branch2.norm_b.0."),
        (r"\.branch2\.se\.fc1\.", ".branch2.norm_b.1.block.0."),
        (r"\.branch2\.se\.fc2\.", ".branch2.norm_b.1.block.2."),
        (r"^head\.conv_5\.", "blocks.5.pool.pre_conv."),
        (r"^head\.conv_5_bn\.", "blocks.5.pool.pre_norm."),
        (r"^head\.lin_5\.", "blocks.5.pool.post_conv."),
        *_slowfast_resnet(_PLAIN_STAGES),
    )


_SLOWFAST_MVIT: Rules = (
    (r"^patch_embed\.proj\.", "patch_embed.patch_model."),
    (r"^(cls_token|pos_embed_\w+)$", r"cls_positional_encoding.\1"),
    (r"^norm\.", "norm_embed."),
    (r"^head\.projection\.", "head.proj."),
)


def _resnet2d_bottleneck(stages: tuple[int, ...]) -> Rules:
    blocks = tuple(
        (rf"^layer{layer}\.(\d+)\.", rf"blocks.{block}.res_blocks.\1.") for layer, block in enumerate(stages[1:], 1)
    )
    parts = tuple(
        rule
        for number, letter in enumerate("abc", 1)
        for rule in (
            (rf"(res_blocks\.\d+)\.conv{number}\.", rf"\1.branch2.conv_{letter}."),
            (rf"(res_blocks\.\d+)\.bn{number}\.", rf"\1.branch2.norm_{letter}."),
        )
    )
    shortcut = ((r"\.downsample\.0\.", ".branch1_conv."), (r"\.downsample\.1\.", ".branch1_norm."))
    return ((r"^conv1\.", "blocks.0.conv."), (r"^bn1\.", "blocks.0.norm."), *blocks, *parts, *shortcut)


_RESNET2D_TORCHVISION: Rules = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    (r"^(layer\d\.\d+)\.conv(\d)\.", r"\1.conv\2.0."),
    (r"^(layer\d\.\d+)\.bn(\d)\.", r"\1.conv\2.1."),
)

_GDT: Rules = (
    (r"^video_network\.base\.", "backbone."),
    (r"^audio_network\.base\.", "audio_tower."),
    (r"^mlp_v\.", "video_head."),
    (r"^mlp_a\.", "audio_head."),
    (r"_head\.block_forward\.2\.", "_head.linear1."),
    (r"_head\.block_forward\.4\.", "_head.norm."),
    (r"_head\.block_forward\.8\.", "_head.linear2."),
    (r"^video_pooling\.2\.transformer\.(\d+)\.", r"pool.layers.\1."),
    (r"\.mha\.q_lin\.", ".query."),
    (r"\.mha\.k_lin\.", ".key."),
    (r"\.mha\.v_lin\.", ".value."),
    (r"\.mha\.out_lin\.", ".output."),
    (r"\.ffn\.lin1\.", ".feed_forward.0."),
    (r"\.ffn\.lin2\.", ".feed_forward.2."),
    (r"^video_pooling\.2\.pos_embs\.0(\.weight)?$", "pool.position"),
)

_CLASSIFIERS = (r"fc\.", r"classifier\.", r"head\.")
_HUB_HEADS = (r"blocks\.\d+\.(proj|pool)\.", r"head\.")
_QKV = ((r"\.attn\.qkv\.", (".attn.q.", ".attn.k.", ".attn.v.")),)


def _slowfast(name: str, holds: str, rules: Rules) -> Layout:
    # A file holds q, k and v of MViT in one tensor; the other families have no such name.
    return Layout(f"slowfast_{name}", f"SlowFast: {holds}", rules, (r"head\.",), _QKV)


def _torchvision(suffix: str, holds: str, marks: str, mean_std: MeanStd) -> Layout:
    return Layout(f"torchvision{suffix}", f"torchvision: {holds}", unused=_CLASSIFIERS, marks=marks, mean_std=mean_std)


def _resnet2d(suffix: str, holds: str, rules: Rules) -> Layout:
    return Layout(f"resnet2d{suffix}", holds, rules, _CLASSIFIERS, inflates=True, mean_std=IMAGENET_MEAN_STD)


# Besides classifiers: the text networks of GDT on HowTo100M, and the numbers 0, 1, 2, … of STiCA's positions.
_GDT_UNUSED = (r"(audio|video)_network\.base\.fc\.", r"text_network\.", r"mlp_t\.", r"video_pooling\.2\.pos_ids$")

GDT = Layout("gdt", "GDT and STiCA checkpoints as released", _GDT, _GDT_UNUSED)

_TIMM = r"(cls_token|pos_embed|stages\.|layers\.)"
_TRANSFORMERS_PREFIX = r"^(videomae|vivit|timesformer|vjepa2)\."
# Besides classifiers and poolers: the decoder of VideoMAE and the predictor of V-JEPA 2, for pre-training alone.
_TRANSFORMERS_UNUSED = (
    r"(\w+\.)?(pooler|predictor)\.",
    r"(classifier|fc_norm|decoder|encoder_to_decoder)\.",
    "mask_token$",
)

TRUNK_LAYOUTS: tuple[Layout, ...] = (
    Layout("pytorchvideo", "pytorchvideo models, of its hub or trained in SlowFast", (), _HUB_HEADS, _QKV),
    # One for each normalization; of two that fit and are both marked the first one counts.
    _torchvision("_mvit", "MViT, versions 1 and 2", r"conv_proj\.", PYTORCHVIDEO_MEAN_STD),
    _torchvision("_swin", "Swin3D", r"patch_embed\.proj\.", IMAGENET_MEAN_STD),
    _torchvision("", "R3D, MC3, R(2+1)D and S3D", r"(stem|layer1|features)\.", KINETICS_MEAN_STD),
    _slowfast("slow", "Slow and other ResNets without a pool behind s2", _slowfast_resnet(_PLAIN_STAGES)),
    _slowfast("c2d", "C2D and I3D, which pool behind s2", _slowfast_resnet(_POOLED_STAGES)),
    _slowfast("slowfast", "SlowFast networks", _slowfast_two_pathways()),
    _slowfast("x3d", "X3D", _slowfast_x3d()),
    _slowfast("mvit", "MViT, version 1", _SLOWFAST_MVIT),
    _resnet2d("", "torchvision ResNet-50 or -101, inflated for pytorchvideo", _resnet2d_bottleneck(_PLAIN_STAGES)),
    _resnet2d("_c2d", "the same for networks that pool behind s2", _resnet2d_bottleneck(_POOLED_STAGES)),
    _resnet2d("_r3d", "torchvision ResNet-18, inflated for torchvision R3D", _RESNET2D_TORCHVISION),
    Layout("timm", "timm's image models", (), (*_CLASSIFIERS, r"fc_norm\."), marks=_TIMM, mean_std=IMAGENET_MEAN_STD),
    Layout(
        "transformers",
        "transformers' video models: VideoMAE, ViViT, TimeSformer, V-JEPA 2",
        ((_TRANSFORMERS_PREFIX, ""),),
        _TRANSFORMERS_UNUSED,
        marks=rf"{_TRANSFORMERS_PREFIX}|embeddings\.|encoder\.embeddings\.",
        mean_std=IMAGENET_MEAN_STD,
    ),
)
LAYOUTS: dict[str, Layout] = {layout.name: layout for layout in (*TRUNK_LAYOUTS, GDT)}


def layout_named(name: str) -> Layout:
    """Returns a layout; an unknown name ends with the known ones."""
    return LAYOUTS[check_choice("--layout", name, LAYOUTS)]
