"""R(2+1)D trunks (Tran et al., CVPR 2018) without pooling and classifier, at any width.

The blocks are torchvision's and so are the parameter names: at width 64 a state dict moves to and from
`torchvision.models.video.r2plus1d_18` without renaming. torchvision itself fixes the width, hence the assembly here.
"""

from collections.abc import Sequence

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D

from stica_pv.errors import UsageError
from stica_pv.registry import BACKBONES

STEM_MID_SHARE = 45 / 64  # width of the stem's spatial convolution, from the published 45 -> 64


class VideoResNet(nn.Module):
    """R(2+1)D trunk: stem and four stages.

    Attributes:
        out_channels: Channels of the map.
        strides: Input steps per map cell along time, height and width.
    """

    strides = (8, 16, 16)

    def __init__(self, blocks: Sequence[int], width: int) -> None:
        super().__init__()
        if len(blocks) != 4 or min(blocks) < 1 or width < 4:
            raise UsageError(f"R(2+1)D needs four stages of >= 1 block and width >= 4, got {list(blocks)}, {width}")
        self.stem = _create_stem(width)
        self.layer1 = _create_stage(width, width, blocks[0], stride=1)
        self.layer2 = _create_stage(width, 2 * width, blocks[1], stride=2)
        self.layer3 = _create_stage(2 * width, 4 * width, blocks[2], stride=2)
        self.layer4 = _create_stage(4 * width, 8 * width, blocks[3], stride=2)
        self.out_channels = 8 * width
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, 3, T, H, W) to the feature map (B, out_channels, ⌈T/8⌉, ⌈H/16⌉, ⌈W/16⌉)."""
        return self.layer4(self.layer3(self.layer2(self.layer1(self.stem(video)))))


def _create_stem(width: int) -> nn.Sequential:
    mid = max(1, round(STEM_MID_SHARE * width))
    return nn.Sequential(
        nn.Conv3d(3, mid, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(mid),
        nn.ReLU(inplace=True),
        nn.Conv3d(mid, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def _create_stage(channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or channels != planes:
        conv = nn.Conv3d(channels, planes, 1, stride=Conv2Plus1D.get_downsample_stride(stride), bias=False)
        shortcut = nn.Sequential(conv, nn.BatchNorm3d(planes))
    first = BasicBlock(channels, planes, Conv2Plus1D, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(planes, planes, Conv2Plus1D) for _ in range(blocks - 1)))


@BACKBONES.named("r2plus1d_18")
def create_r2plus1d_18(*, width: int = 64) -> VideoResNet:
    """Builds the trunk of the papers: two blocks a stage; at width 64 a map of 512 channels, 31,300,125 parameters."""
    return VideoResNet((2, 2, 2, 2), width)


@BACKBONES.named("r2plus1d_10")
def create_r2plus1d_10(*, width: int = 64) -> VideoResNet:
    """Builds a trunk with one block a stage, for small machines; width 16 suits two CPU cores."""
    return VideoResNet((1, 1, 1, 1), width)
