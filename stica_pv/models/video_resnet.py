"""Video ResNets (Tran et al., CVPR 2018) without pooling and classifier, at any width: R(2+1)D, R3D, MC3 and MC2.

The blocks are torchvision's and so are the parameter names: at width 64 a state dict is compatible with torchvision's
`r2plus1d_18`, `r3d_18` and `mc3_18`. torchvision fixes the width, so the networks are assembled here.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from torch import Tensor, nn
from torchvision.models.video.resnet import BasicBlock, Conv2Plus1D, Conv3DNoTemporal, Conv3DSimple

from stica_pv.errors import UsageError
from stica_pv.models.feature_map import Trunk
from stica_pv.models.torchvision_weights import published_by_torchvision
from stica_pv.models.weights import Pretrained, with_weights
from stica_pv.registry import BACKBONES

STEM_MID_SHARE = 45 / 64  # width of the (2+1)D stem's spatial convolution, from the published 45 -> 64
WIDTH = 64  # as published


class Convolutions(NamedTuple):
    """The convolution of each stage and the stem, in which the kinds of video ResNets differ."""

    stages: tuple[Any, Any, Any, Any]
    separable_stem: bool


R2PLUS1D = Convolutions((Conv2Plus1D,) * 4, separable_stem=True)
R3D = Convolutions((Conv3DSimple,) * 4, separable_stem=False)
MC3 = Convolutions((Conv3DSimple, *(Conv3DNoTemporal,) * 3), separable_stem=False)
MC2 = Convolutions((Conv3DNoTemporal,) * 4, separable_stem=False)


class VideoResNet(Trunk):
    """Stem and four stages."""

    def __init__(self, blocks: Sequence[int], width: int, convolutions: Convolutions = R2PLUS1D) -> None:
        super().__init__()
        if len(blocks) != 4 or min(blocks) < 1 or width < 4:
            raise UsageError(
                f"a video ResNet needs four stages of >= 1 block and width >= 4, got {list(blocks)}, {width}"
            )
        self.stem = _create_separable_stem(width) if convolutions.separable_stem else _create_stem(width)
        first, second, third, fourth = convolutions.stages
        self.layer1 = _create_stage(width, width, blocks[0], 1, first)
        self.layer2 = _create_stage(width, 2 * width, blocks[1], 2, second)
        self.layer3 = _create_stage(2 * width, 4 * width, blocks[2], 2, third)
        self.layer4 = _create_stage(4 * width, 8 * width, blocks[3], 2, fourth)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, 3, T, H, W) to the map (B, 8 × width, T', ⌈H/16⌉, ⌈W/16⌉), T' = ⌈T/8⌉, or T for MC."""
        return self.layer4(self.layer3(self.layer2(self.layer1(self.stem(video)))))


def _create_separable_stem(width: int) -> nn.Sequential:
    mid = max(1, round(STEM_MID_SHARE * width))
    return nn.Sequential(
        nn.Conv3d(3, mid, (1, 7, 7), stride=(1, 2, 2), padding=(0, 3, 3), bias=False),
        nn.BatchNorm3d(mid),
        nn.ReLU(inplace=True),
        nn.Conv3d(mid, width, (3, 1, 1), padding=(1, 0, 0), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def _create_stem(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )


def _create_stage(channels: int, planes: int, blocks: int, stride: int, convolution: Any) -> nn.Sequential:
    shortcut = None
    if stride != 1 or channels != planes:
        conv = nn.Conv3d(channels, planes, 1, stride=convolution.get_downsample_stride(stride), bias=False)
        shortcut = nn.Sequential(conv, nn.BatchNorm3d(planes))
    first = BasicBlock(channels, planes, convolution, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(planes, planes, convolution) for _ in range(blocks - 1)))


@BACKBONES.named("r2plus1d_18")
def create_r2plus1d_18(*, width: int = WIDTH, pretrained: Pretrained = False) -> VideoResNet:
    """Builds the papers' trunk: two blocks per stage; at width 64 a map of 512 channels, 31,300,125 parameters."""
    return with_weights(VideoResNet((2, 2, 2, 2), width), pretrained, published_by_torchvision("r2plus1d_18"))


@BACKBONES.named("r2plus1d_10")
def create_r2plus1d_10(*, width: int = WIDTH, pretrained: Pretrained = False) -> VideoResNet:
    """Builds a trunk with one block per stage, for small machines; width 16 suits two CPU cores."""
    return with_weights(VideoResNet((1, 1, 1, 1), width), pretrained)


@BACKBONES.named("r3d_18")
def create_r3d_18(*, width: int = WIDTH, pretrained: Pretrained = False) -> VideoResNet:
    """Builds R3D-18: full 3 x 3 x 3 convolutions."""
    return with_weights(VideoResNet((2, 2, 2, 2), width, R3D), pretrained, published_by_torchvision("r3d_18"))


@BACKBONES.named("r3d_10")
def create_r3d_10(*, width: int = WIDTH, pretrained: Pretrained = False) -> VideoResNet:
    """Builds R3D with one block per stage, for small machines."""
    return with_weights(VideoResNet((1, 1, 1, 1), width, R3D), pretrained)


@BACKBONES.named("mc3_18")
def create_mc3_18(*, width: int = WIDTH, pretrained: Pretrained = False) -> VideoResNet:
    """Builds MC3-18: 3-D convolutions in the first stage, 2-D ones above; time is not shortened."""
    return with_weights(VideoResNet((2, 2, 2, 2), width, MC3), pretrained, published_by_torchvision("mc3_18"))


@BACKBONES.named("mc2_10")
def create_mc2_10(*, width: int = WIDTH, pretrained: Pretrained = False) -> VideoResNet:
    """Builds MC2 with one block per stage: only the stem convolves over time, 3 frames; the pooling does the rest."""
    return with_weights(VideoResNet((1, 1, 1, 1), width, MC2), pretrained)
