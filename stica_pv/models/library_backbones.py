"""Every video backbone of torchvision and pytorchvideo by name; builders take the library's own arguments as well."""

from collections.abc import Callable
from functools import partial
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from pytorchvideo.models import hub
from pytorchvideo.models.audio_visual_slowfast import create_audio_visual_slowfast
from pytorchvideo.models.resnet import create_resnet
from torch import nn
from torchvision.models import video as torchvision_video

from stica_pv.errors import UsageError
from stica_pv.models.cvrl_resnet import create_cvrl_resnet
from stica_pv.models.slowfast_trunks import AudioVisualSlowFastTrunk
from stica_pv.models.staged_trunks import NetTrunk
from stica_pv.models.torchvision_weights import published_by_torchvision
from stica_pv.models.transformer_trunks import TorchvisionMViTTrunk
from stica_pv.models.trunks import trunk_of
from stica_pv.models.weights import Pretrained, Published, with_weights
from stica_pv.registry import BACKBONES

WIDTH = 64  # channels of the first stage of a ResNet, as published
BETA, BETA_AUDIO = 8, 2  # ratio of the slow pathway's width to that of the fast one and of the audio

FIXED = ("s3d", "swin3d_t", "swin3d_s", "swin3d_b")  # torchvision models for any clip size
RESNETS = ("slow_r50", "c2d_r50", "i3d_r50", "r2plus1d_r50", "csn_r101")
SLOWFASTS = ("slowfast_r50", "slowfast_r101", "slowfast_16x8_r101_50_50")
X3DS = ("x3d_xs", "x3d_s", "x3d_m", "x3d_l")
EFFICIENT_X3DS = ("efficient_x3d_xs", "efficient_x3d_s")
MVITS = {"mvit_base_16x4": 16, "mvit_base_32x3": 32}  # frames of the published weights

Build = Callable[..., nn.Module]


def _published(build: Build) -> Published:
    return partial(build, pretrained=True)


def _register_fixed(name: str, build: Build, published: Published) -> None:
    @BACKBONES.named(name)
    def create(*, pretrained: Pretrained = False, **library: Any) -> nn.Module:
        return with_weights(trunk_of(build(**library)), pretrained, published)


def _register_resnet(name: str, build: Build, published: Published | None) -> None:
    @BACKBONES.named(name)
    def create(*, width: int = WIDTH, pretrained: Pretrained = False, **library: Any) -> nn.Module:
        return with_weights(trunk_of(build(stem_dim_out=width, **library)), pretrained, published)


def _register_slowfast(name: str, build: Build) -> None:
    @BACKBONES.named(name)
    def create(*, width: int = WIDTH, pretrained: Pretrained = False, **library: Any) -> nn.Module:
        net = build(stem_dim_outs=(width, _share(width, BETA)), **library)
        return with_weights(trunk_of(net), pretrained, _published(build))


def _register_x3d(name: str, build: Build) -> None:
    @BACKBONES.named(name)
    def create(*, head_conv: bool = False, pretrained: Pretrained = False, **library: Any) -> nn.Module:
        return with_weights(NetTrunk(build(**library), head_conv=head_conv), pretrained, _published(build))


def _register_mvit(name: str, build: Build, standard_frames: int) -> None:
    @BACKBONES.named(name)
    def create(
        *, frames: int = standard_frames, size: int = 224, pretrained: Pretrained = False, **library: Any
    ) -> nn.Module:
        model = build(temporal_size=frames, spatial_size=size, **library)
        return with_weights(trunk_of(model), pretrained, _published(build))


def _register_torchvision_mvit(name: str) -> None:
    build = getattr(torchvision_video, name)

    @BACKBONES.named(name)
    def create(*, frames: int = 16, size: int = 224, pretrained: Pretrained = False, **library: Any) -> nn.Module:
        trunk = TorchvisionMViTTrunk(build(**library))
        trunk.rebuild_positions(frames, size)
        return with_weights(trunk, pretrained, published_by_torchvision(name))


@BACKBONES.named("av_slowfast_r50")
def create_av_slowfast_r50(
    *, width: int = WIDTH, fusion: bool = False, pretrained: Pretrained = False, **library: Any
) -> AudioVisualSlowFastTrunk:
    """Builds Audiovisual SlowFast; with `fusion` it takes audio too (see `AudioVisualSlowFastTrunk`)."""
    net = create_audio_visual_slowfast(stem_dim_outs=av_widths(width), **library)
    with_weights(AudioVisualSlowFastTrunk(net, fusion=True), pretrained)  # a file contains the whole model
    return AudioVisualSlowFastTrunk(net, fusion=fusion)


def av_widths(width: int) -> tuple[int, int, int]:
    """Returns the channels of the first stage of Audiovisual SlowFast: slow, fast and audio."""
    return width, _share(width, BETA), _share(width, BETA_AUDIO)


def _share(width: int, ratio: int) -> int:
    if width < ratio or width % ratio:
        raise UsageError(f"the width of SlowFast must be a multiple of {ratio}, got {width}")
    return width // ratio


for _name in FIXED:
    _register_fixed(_name, getattr(torchvision_video, _name), published_by_torchvision(_name))
for _name in EFFICIENT_X3DS:
    _register_fixed(_name, getattr(hub, _name), _published(getattr(hub, _name)))
for _name in RESNETS:
    _register_resnet(_name, getattr(hub, _name), _published(getattr(hub, _name)))
_register_resnet("slow_r101", partial(create_resnet, model_depth=101, stem_conv_kernel_size=(1, 7, 7)), None)
for _name, _depth in (("r3d_50", 50), ("r3d_101", 101)):
    _register_resnet(_name, partial(create_cvrl_resnet, model_depth=_depth), None)
for _name in SLOWFASTS:
    _register_slowfast(_name, getattr(hub, _name))
for _name in X3DS:
    _register_x3d(_name, getattr(hub, _name))
for _name, _frames in MVITS.items():
    _register_mvit(_name, getattr(hub, _name), _frames)
for _name in ("mvit_v1_b", "mvit_v2_s"):
    _register_torchvision_mvit(_name)
