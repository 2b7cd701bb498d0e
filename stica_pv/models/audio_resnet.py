"""Residual networks on log-mel spectrograms: the audio tower of GDT and STiCA ("ResNet-9") and a deeper one."""

from collections.abc import Sequence

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from stica_pv.errors import UsageError
from stica_pv.registry import AUDIO_ENCODERS


class AudioEncoderNet(nn.Module):
    """Interface of an audio tower: spectrogram (B, 1, F, T) to vector.

    Attributes:
        out_channels: Length of the vector.
    """

    out_channels: int


class AudioResNet(AudioEncoderNet):
    """Two-dimensional ResNet on a one-channel spectrogram, averaged to one vector."""

    def __init__(self, blocks: Sequence[int], width: int) -> None:
        super().__init__()
        if len(blocks) != 4 or min(blocks) < 1 or width < 1:
            raise UsageError(f"the audio ResNet needs four stages of >= 1 block, got {list(blocks)}, width {width}")
        self.conv1 = nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _create_stage(width, width, blocks[0], stride=1)
        self.layer2 = _create_stage(width, 2 * width, blocks[1], stride=2)
        self.layer3 = _create_stage(2 * width, 4 * width, blocks[2], stride=2)
        self.layer4 = _create_stage(4 * width, 8 * width, blocks[3], stride=2)
        self.out_channels = 8 * width
        for module in self.modules():
            # The release replaces the first convolution after initialization, so it has PyTorch's default.
            if isinstance(module, nn.Conv2d) and module is not self.conv1:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def map(self, log_mel: Tensor) -> Tensor:
        """Maps log-mel (B, 1, F, T) to the feature map (B, out_channels, ⌈F/32⌉, ⌈T/32⌉)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(log_mel))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, log_mel: Tensor) -> Tensor:
        """Maps log-mel (B, 1, F, T) of any length to (B, out_channels)."""
        return self.map(log_mel).mean(dim=(2, 3))


def _create_stage(channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    shortcut = None
    if stride != 1 or channels != planes:
        shortcut = nn.Sequential(nn.Conv2d(channels, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes))
    first = BasicBlock(channels, planes, stride, shortcut)
    return nn.Sequential(first, *(BasicBlock(planes, planes) for _ in range(blocks - 1)))


@AUDIO_ENCODERS.named("resnet9")
def create_audio_resnet9(*, width: int = 64) -> AudioResNet:
    """Builds the audio tower of the papers: one block per stage, 512-d at width 64."""
    return AudioResNet((1, 1, 1, 1), width)


@AUDIO_ENCODERS.named("resnet18")
def create_audio_resnet18(*, width: int = 64) -> AudioResNet:
    """Builds the usual ResNet-18 layout on one channel, 512-d at width 64."""
    return AudioResNet((2, 2, 2, 2), width)
