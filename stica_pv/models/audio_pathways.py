"""Acoustic networks of pytorchvideo as audio towers: acoustic ResNet, audio pathway of Audiovisual SlowFast."""

from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from pytorchvideo.models.audio_visual_slowfast import create_audio_visual_slowfast
from pytorchvideo.models.net import Net
from pytorchvideo.models.resnet import create_acoustic_resnet
from torch import Tensor, nn

from stica_pv.models.audio_resnet import AudioEncoderNet
from stica_pv.models.library_backbones import WIDTH, av_widths
from stica_pv.models.slowfast_trunks import AUDIO, AudioVisualSlowFastTrunk, time_first
from stica_pv.models.staged_trunks import blocks_without_heads
from stica_pv.models.weights import Pretrained, with_weights
from stica_pv.registry import AUDIO_ENCODERS


class AcousticNet(AudioEncoderNet):
    """Blocks of a pytorchvideo network that takes audio as (B, 1, T, 1, F), averaged to one vector."""

    blocks: Any  # a ModuleList; the library's blocks are not typed

    def __init__(self, blocks: nn.ModuleList) -> None:
        super().__init__()
        self.blocks = blocks
        norms = [module for module in blocks[-1].modules() if isinstance(module, nn.BatchNorm3d)]
        self.out_channels = norms[-1].num_features  # each stage ends with the norm of its last block

    def map(self, log_mel: Tensor) -> Tensor:
        """Maps log-mel (B, 1, F, T) to the map (B, C, F', T')."""
        x = time_first(log_mel)
        for stage in self._stages():
            x = stage(x)
        return x[:, :, :, 0].transpose(2, 3)

    def _stages(self) -> list[nn.Module]:
        return list(self.blocks)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Maps log-mel (B, 1, F, T) to (B, C)."""
        return self.map(log_mel).mean(dim=(2, 3))


class AudioPathway(AcousticNet):
    """The audio pathway of Audiovisual SlowFast, without input from the frames.

    Its parameters keep the names of the whole model, ``blocks.<n>.multipathway_blocks.2``.
    """

    def __init__(self, net: Net) -> None:
        blocks: Any = blocks_without_heads(net)
        for block in blocks:
            for index in range(AUDIO):
                block.multipathway_blocks[index] = nn.Identity()
            block.multipathway_fusion = nn.Identity()
        super().__init__(blocks)

    def _stages(self) -> list[nn.Module]:
        return [block.multipathway_blocks[AUDIO] for block in self.blocks]


@AUDIO_ENCODERS.named("acoustic_r50")
def create_acoustic_r50(*, width: int = WIDTH, pretrained: Pretrained = False, **library: Any) -> AcousticNet:
    """Builds pytorchvideo's acoustic ResNet-50: a vector of 32 × width."""
    net = create_acoustic_resnet(stem_dim_out=width, **library)
    return with_weights(AcousticNet(blocks_without_heads(net)), pretrained)


@AUDIO_ENCODERS.named("av_slowfast_audio")
def create_av_slowfast_audio(*, width: int = WIDTH, pretrained: Pretrained = False, **library: Any) -> AudioPathway:
    """Builds the audio pathway of Audiovisual SlowFast, whose slow pathway has `width`: a vector of 16 × width."""
    net = create_audio_visual_slowfast(stem_dim_outs=av_widths(width), **library)
    with_weights(AudioVisualSlowFastTrunk(net, fusion=True), pretrained)  # a file contains the whole model
    return AudioPathway(net)
