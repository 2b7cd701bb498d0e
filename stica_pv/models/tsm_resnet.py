"""TSM-ResNet v2, BraVe's video trunk (arXiv 2103.16559): 2-D convolutions, and a shift along time in every block."""

from collections.abc import Sequence

from torch import Tensor

from stica_pv.models.feature_map import Trunk
from stica_pv.models.resnet_v2 import create_layers
from stica_pv.registry import BACKBONES

WIDTH = 64  # as published; 128 is the paper's "2x"


class TSMResNet(Trunk):
    """Stem, four stages of pre-activation bottlenecks with a temporal shift, last batch-norm and ReLU."""

    def __init__(self, blocks: Sequence[int], width: int, channels: int = 3) -> None:
        super().__init__()
        self.in_channels = channels
        for name, layer in create_layers(channels, blocks, width, shift=True).items():
            self.add_module(name, layer)

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, channels, T, H, W) to the map (B, 32 × width, T, ⌈H/32⌉, ⌈W/32⌉)."""
        for layer in self.children():
            video = layer(video)
        return video


@BACKBONES.named("tsm_resnet50")
def create_tsm_resnet50(*, width: int = WIDTH, channels: int = 3) -> TSMResNet:
    """Builds BraVe's trunk: a map of 2048 channels at width 64, 23,500,352 parameters; flow has 2 `channels`."""
    return TSMResNet((3, 4, 6, 3), width, channels)


@BACKBONES.named("tsm_resnet14")
def create_tsm_resnet14(*, width: int = WIDTH, channels: int = 3) -> TSMResNet:
    """Builds the same with one block per stage, for small machines; width 8 or 16 suits two CPU cores."""
    return TSMResNet((1, 1, 1, 1), width, channels)
