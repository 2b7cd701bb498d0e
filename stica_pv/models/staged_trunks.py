"""Sequential library models (torchvision's and pytorchvideo's ResNets, S3D, X3D, Swin) as trunks."""

from collections import OrderedDict
from collections.abc import Sequence

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from pytorchvideo.models.head import ResNetBasicHead, ResNetRoIHead, VisionTransformerBasicHead
from pytorchvideo.models.net import Net
from pytorchvideo.models.slowfast import PoolConcatPathway
from torch import Tensor, nn
from torchvision.models.video.swin_transformer import SwinTransformer3d

from stica_pv.errors import UsageError
from stica_pv.models.feature_map import Trunk

HEADS = (ResNetBasicHead, ResNetRoIHead, VisionTransformerBasicHead, PoolConcatPathway)


class StagedTrunk(Trunk):
    """Some children of a model, applied in sequence."""

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, model.get_submodule(name))

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, 3, T, H, W) to the map (B, C, T', H', W')."""
        for part in self.children():
            video = part(video)
        return video

    def stages(self) -> list[nn.Module]:
        """Returns the children, or the grandchildren if there is a single child."""
        children = list(self.children())
        return children if len(children) > 1 else list(children[0].children())


class NetTrunk(Trunk):
    """The blocks of a pytorchvideo `Net` without its heads."""

    def __init__(self, net: Net, *, head_conv: bool = False) -> None:
        """Takes the blocks of a model; see `blocks_without_heads`.

        Args:
            net: Whole model, or one without its head.
            head_conv: Whether the first convolution of X3D's head, from 192 to 432 channels, is kept.
        """
        super().__init__()
        self.blocks = blocks_without_heads(net)
        if head_conv:
            self.blocks.append(_first_conv_of_head(net.blocks[-1]))

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, 3, T, H, W) to the map (B, C, T', H', W')."""
        for block in self.blocks:
            video = block(video)
        return video

    def stages(self) -> list[nn.Module]:
        """Returns the blocks."""
        return list(self.blocks)


def blocks_without_heads(net: Net) -> nn.ModuleList:
    """Returns the blocks of a `Net` before its pooling and classifier; they keep their indices, so their names."""
    blocks = list(net.blocks)
    while blocks and isinstance(blocks[-1], HEADS):
        blocks.pop()
    return nn.ModuleList(blocks)


def _first_conv_of_head(head: nn.Module) -> nn.Sequential:
    pool = getattr(head, "pool", None)
    parts = [(name, getattr(pool, name, None)) for name in ("pre_conv", "pre_norm", "pre_act")]
    if parts[0][1] is None:
        raise UsageError(f"head_conv: only X3D's head begins with a convolution, got {type(head).__name__}")
    kept = OrderedDict((name, part) for name, part in parts if part is not None)
    return nn.Sequential(OrderedDict(pool=nn.Sequential(kept)))  # with their names in the whole model


class SwinTrunk(StagedTrunk):
    """Video Swin Transformer; its tokens are already in a grid."""

    def __init__(self, model: SwinTransformer3d) -> None:
        super().__init__(model, ("patch_embed", "pos_drop", "features", "norm"))

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, 3, T, H, W) to the map (B, C, ⌈T/2⌉, ⌈H/32⌉, ⌈W/32⌉)."""
        return super().forward(video).permute(0, 4, 1, 2, 3)

    def stages(self) -> list[nn.Module]:
        """Returns the four stages and the patch merging between them."""
        return list(self.get_submodule("features").children())
