"""Small whole models of the libraries, and the maps that their own forward hands to their heads."""

import contextlib
import io
from collections.abc import Callable
from typing import Any, NamedTuple

import stica_pv.compat  # noqa: F401 - repairs torchvision

import torch
from pytorchvideo.models import hub
from pytorchvideo.models.audio_visual_slowfast import create_audio_visual_slowfast
from torch import Tensor, nn
from torchvision.models import video as torchvision_video


class LibraryModel(NamedTuple):
    """A builder, the name of the part behind the map, and the clip (frames, side) to try."""

    build: Callable[[], nn.Module]
    head: str
    clip: tuple[int, int] = (4, 64)


SHALLOW_MVIT = {"depth": 4, "embed_dim_mul": [[1, 2.0]], "atten_head_mul": [[1, 2.0]]} | {
    "pool_q_stride_size": [[1, 1, 2, 2], [3, 1, 2, 2]],
    "temporal_size": 4,
    "spatial_size": 64,
}


def without_class_token() -> nn.Module:
    """An MViT of pytorchvideo that has none."""
    return hub.mvit_base_16x4(**SHALLOW_MVIT, cls_embed_on=False)


MODELS = {
    "r3d_18": LibraryModel(torchvision_video.r3d_18, "avgpool", (4, 24)),
    "s3d": LibraryModel(torchvision_video.s3d, "avgpool", (16, 64)),
    "swin3d_t": LibraryModel(torchvision_video.swin3d_t, "avgpool", (4, 40)),
    "slow_r50": LibraryModel(lambda: hub.slow_r50(stem_dim_out=8), "blocks.5"),
    "c2d_r50": LibraryModel(lambda: hub.c2d_r50(stem_dim_out=8), "blocks.6"),
    "csn_r101": LibraryModel(lambda: hub.csn_r101(stem_dim_out=8), "blocks.5"),
    "x3d_xs": LibraryModel(hub.x3d_xs, "blocks.5"),
    "efficient_x3d_xs": LibraryModel(hub.efficient_x3d_xs, "head"),
    "slowfast_r50": LibraryModel(lambda: hub.slowfast_r50(stem_dim_outs=(8, 1)), "blocks.5", (8, 64)),
    "mvit_base_16x4": LibraryModel(lambda: hub.mvit_base_16x4(**SHALLOW_MVIT), "head"),
    "mvit without a class token": LibraryModel(without_class_token, "head"),
}


class _Reached(Exception):  # noqa: N818 - no error
    pass


def input_of(model: nn.Module, part: str, *inputs: Any) -> Any:
    """What reaches a part of a model in a forward pass, which ends there."""
    found = []

    def keep(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        found.append(arguments[0])
        raise _Reached

    with model.get_submodule(part).register_forward_pre_hook(keep), contextlib.suppress(_Reached), torch.no_grad():
        model(*inputs)
    return found[0]


def av_slowfast(width: int = 8) -> nn.Module:
    """Audiovisual SlowFast."""
    return create_audio_visual_slowfast(stem_dim_outs=(width, width // 8, width // 2))


def av_maps(model: nn.Module, slow: Tensor, fast: Tensor, audio: Tensor) -> list[Tensor]:
    """The three maps of Audiovisual SlowFast by the library's forward, which prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        maps: list[Tensor] = input_of(model, "blocks.5", [slow, fast, audio])
    return maps


def shake(model: nn.Module) -> nn.Module:
    """Gives every batch-norm statistics and weights of its own: the libraries begin with zeros, which hide parts."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            for value in (module.weight.data, module.running_var):
                value.uniform_(0.5, 1.5)
            module.running_mean.normal_(std=0.1)
    return model
