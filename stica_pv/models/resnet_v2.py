"""Pre-activation residual networks of 2-D convolutions (He et al., ECCV 2016), with or without a temporal shift.

BraVe (arXiv 2103.16559) uses them for frames (tsm_resnet.py) and for spectrograms.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.models.audio_resnet import AudioEncoderNet
from stica_pv.registry import AUDIO_ENCODERS

SHIFT_SHARE = 8  # one channel in 8 is from the previous frame, as many from the next one
EXPANSION = 4


def temporal_shift(x: Tensor, frames: int) -> Tensor:
    """Replaces a quarter of the channels by those of neighboring frames (TSM, Lin et al., ICCV 2019).

    The first C/8 channels of the previous frame become the last channels, the last C/8 of the next frame the first
    ones, as in BraVe's release; beyond the clip there are zeros.

    Args:
        x: Features (B·T, C, H, W), frames of a clip consecutive.
        frames: Number of frames T.

    Returns:
        (B·T, C, H, W).
    """
    fold = x.shape[1] // SHIFT_SHARE
    first, middle, last = x.unflatten(0, (-1, frames)).split([fold, x.shape[1] - 2 * fold, fold], dim=2)
    before = F.pad(first[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0))
    after = F.pad(last[:, 1:], (0, 0, 0, 0, 0, 0, 0, 1))
    return torch.cat((after, middle, before), dim=2).flatten(0, 1)


class PreActivationBlock(nn.Module):
    """Batch-norm and ReLU before each convolution of a bottleneck; nothing after the sum."""

    def __init__(self, channels: int, planes: int, *, stride: int, first: bool, shift: bool) -> None:
        super().__init__()
        middle, self.shift = planes // EXPANSION, shift
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, middle, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(middle)
        self.conv3 = nn.Conv2d(middle, planes, 1, bias=False)
        self.shortcut = nn.Conv2d(channels, planes, 1, stride=stride, bias=False) if first else None

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """Maps (B·T, C, H, W) to (B·T, planes, ⌈H/stride⌉, ⌈W/stride⌉)."""
        active = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(active)
        if self.shift:
            active = temporal_shift(active, frames)
        active = self.conv1(active)
        active = self.conv2(F.relu(self.bn2(active)))
        return shortcut + self.conv3(F.relu(self.bn3(active)))


class PreActivationStage(nn.Module):
    """Blocks of one resolution, on clips."""

    def __init__(self, channels: int, planes: int, blocks: int, *, stride: int, shift: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            PreActivationBlock(
                planes if number else channels, planes, stride=1 if number else stride, first=number == 0, shift=shift
            )
            for number in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, T, H, W) to (B, planes, T, ⌈H/stride⌉, ⌈W/stride⌉)."""
        batch, _, frames = x.shape[:3]
        x = x.transpose(1, 2).flatten(0, 1)
        for block in self.blocks:
            x = block(x, frames)
        return x.unflatten(0, (batch, frames)).transpose(1, 2)


class FrameStem(nn.Module):
    """7 x 7 convolution without batch-norm, and max-pooling, on every frame of a clip."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, T, H, W) to (B, width, T, ⌈H/4⌉, ⌈W/4⌉)."""
        batch, _, frames = x.shape[:3]
        x = F.max_pool2d(self.conv(x.transpose(1, 2).flatten(0, 1)), 3, stride=2, padding=1)
        return x.unflatten(0, (batch, frames)).transpose(1, 2)


class LastActivation(nn.Module):
    """The batch-norm and ReLU after the last block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, T, H, W) to the same."""
        batch, _, frames = x.shape[:3]
        x = F.relu(self.bn(x.transpose(1, 2).flatten(0, 1)))
        return x.unflatten(0, (batch, frames)).transpose(1, 2)


def create_layers(channels: int, blocks: Sequence[int], width: int, *, shift: bool) -> dict[str, nn.Module]:
    """Builds stem, four stages and the last activation by name: (B, channels, T, H, W) to (B, 32 × width, T, …).

    Weights are truncated normals of standard deviation 1 / sqrt(fan in).
    """
    if len(blocks) != 4 or min(blocks) < 1 or width < SHIFT_SHARE or width % SHIFT_SHARE:
        raise UsageError(
            f"a pre-activation ResNet needs four stages of >= 1 block and a width divisible by {SHIFT_SHARE}, "
            f"got {list(blocks)}, {width}"
        )
    layers: dict[str, nn.Module] = {"stem": FrameStem(channels, width)}
    before = width
    for number, count in enumerate(blocks):
        planes = EXPANSION * width * 2**number
        stride = 2 if number else 1
        layers[f"stage{number + 1}"] = PreActivationStage(before, planes, count, stride=stride, shift=shift)
        before = planes
    layers["last"] = LastActivation(before)
    for layer in layers.values():
        for module in layer.modules():
            if isinstance(module, nn.Conv2d):
                truncated_normal(module.weight)
    return layers


def truncated_normal(weight: Tensor) -> None:
    """Fills (out, in, …) with N(0, 1 / fan in), truncated at two standard deviations."""
    std = weight[0].numel() ** -0.5
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


class AudioResNetV2(AudioEncoderNet):
    """Pre-activation ResNet on a one-channel spectrogram, averaged to one vector."""

    def __init__(self, blocks: Sequence[int], width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        for name, layer in create_layers(1, blocks, width, shift=False).items():
            self.layers.add_module(name, layer)
        self.out_channels = 8 * EXPANSION * width

    def map(self, log_mel: Tensor) -> Tensor:
        """Maps log-mel (B, 1, F, T) to the feature map (B, out_channels, ⌈F/32⌉, ⌈T/32⌉)."""
        return self.layers(log_mel.unsqueeze(2)).squeeze(2)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Maps log-mel (B, 1, F, T) of any length to (B, out_channels)."""
        return self.map(log_mel).mean(dim=(2, 3))


@AUDIO_ENCODERS.named("resnet50_v2")
def create_audio_resnet50_v2(*, width: int = 64) -> AudioResNetV2:
    """Builds the audio tower of BraVe: 2048-d at width 64, 23,494,080 parameters."""
    return AudioResNetV2((3, 4, 6, 3), width)


@AUDIO_ENCODERS.named("resnet14_v2")
def create_audio_resnet14_v2(*, width: int = 64) -> AudioResNetV2:
    """Builds the same with one block per stage, for small machines."""
    return AudioResNetV2((1, 1, 1, 1), width)
