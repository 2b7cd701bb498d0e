"""R3D-50 and -101 of CVRL (CVPR 2021): pytorchvideo's ResNet with CVRL's stem and initial weights."""

import math
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from pytorchvideo.models.resnet import create_resnet
from torch import nn

# Standard deviation of a standard normal distribution truncated at two.
_CUT_STD = math.sqrt(1 - 4 * math.exp(-2) / (math.sqrt(2 * math.pi) * math.erf(math.sqrt(2))))


def create_cvrl_resnet(*, model_depth: int, **library: Any) -> nn.Module:
    """Builds the network; time is halved in the stem, which spans 5 frames.

    Convolutions are initialized by a normal of variance 1 / fan in, truncated at two standard deviations, every
    batch-norm as the identity. pytorchvideo's own use fan out, and zeros at the end of each residual branch.

    Args:
        model_depth: 50 or 101.
        library: Further arguments of pytorchvideo's `create_resnet`.
    """
    stem = {"stem_conv_kernel_size": (5, 7, 7), "stem_conv_stride": (2, 2, 2)}
    net: nn.Module = create_resnet(model_depth=model_depth, **stem, **library)
    for module in net.modules():
        if isinstance(module, nn.Conv3d):
            std = module.weight[0].numel() ** -0.5 / _CUT_STD
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
        elif isinstance(module, nn.BatchNorm3d):
            nn.init.ones_(module.weight)
    return net
