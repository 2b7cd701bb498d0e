"""Creation of video trunks: by registered name, by library and name, or by a function of your own."""

import importlib
import inspect
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from pytorchvideo.models import hub
from torch import nn
from torchvision.models import get_model, list_models
from torchvision.models import video as torchvision_video

from stica_pv.errors import UsageError, nearest
from stica_pv.models import library_backbones, tsm_resnet, video_resnet, video_vit  # noqa: F401 - they register their names
from stica_pv.models.timm_trunks import create_timm_model, create_timm_trunk, has_timm_weights
from stica_pv.models.transformers_trunks import create_transformers_model, create_transformers_trunk
from stica_pv.models.trunks import trunk_of
from stica_pv.models.weights import Pretrained, with_weights
from stica_pv.registry import BACKBONES

STANDARD_INPUTS: dict[str, tuple[int, int]] = {
    **dict.fromkeys(("r2plus1d_10", "r2plus1d_18", "r3d_10", "r3d_18", "mc2_10", "mc3_18"), (16, 112)),
    **dict.fromkeys(("slow_r50", "slow_r101", "c2d_r50", "i3d_r50"), (8, 224)),
    **dict.fromkeys(("tsm_resnet50", "tsm_resnet14"), (16, 224)),
    **dict.fromkeys(("r2plus1d_r50", "r3d_50", "r3d_101", "x3d_m"), (16, 224)),
    **dict.fromkeys(("mvit_base_16x4", "mvit_v1_b", "mvit_v2_s"), (16, 224)),
    **dict.fromkeys(("vit_s_16", "vit_b_16", "vit_l_16"), (16, 224)),
    **dict.fromkeys(("csn_r101", "mvit_base_32x3", "swin3d_t", "swin3d_s", "swin3d_b"), (32, 224)),
    **dict.fromkeys(("slowfast_r50", "slowfast_r101", "av_slowfast_r50"), (32, 224)),
    **dict.fromkeys(("x3d_xs", "efficient_x3d_xs"), (4, 182)),
    **dict.fromkeys(("x3d_s", "efficient_x3d_s"), (13, 182)),
    "slowfast_16x8_r101_50_50": (64, 224),
    "s3d": (64, 224),
    "x3d_l": (16, 312),
}
"""Published input size (frames, side in pixels) of each backbone; S3D at half its length."""

FORMS = "a name of --list backbones, <library>:<name> or <module>:<function>"

Builder = Callable[..., nn.Module]


def create_backbone(name: str, *, pretrained: Pretrained = False, **settings: Any) -> nn.Module:
    """Builds a video trunk without pooling and classifier: float (B, 3, T, H, W) to `Maps`.

    The trunk is a `Trunk` with `pathways` (channels and strides), except for modules of your own that are not. Its
    parameters have the names of the library's model.

    Args:
        name: A registered name (``BACKBONES.names()``), or a source for `trunk_from_source`.
        pretrained: False for random weights, True for the library's published weights, otherwise a file.
        **settings: Arguments of the builder, such as ``width`` or those of the library.

    Raises:
        UsageError: There is no such backbone, or its weights are not available or do not fit.
    """
    if ":" in name:
        return trunk_from_source(name, pretrained=pretrained, **settings)
    builder = BACKBONES.get(name)
    if pretrained is False:
        return builder(**settings)
    if "pretrained" not in inspect.signature(builder).parameters:
        raise UsageError(f"the backbone {name!r} has no pretrained weights: its builder has no argument `pretrained`")
    return builder(pretrained=pretrained, **settings)


def trunk_from_source(source: str, *, pretrained: Pretrained = False, **settings: Any) -> nn.Module:
    """Builds the trunk of a third-party model.

    Args:
        source: ``pytorchvideo:slow_r50`` (a function of `pytorchvideo.models.hub`), ``torchvision:r3d_18`` (a video
            model of torchvision), ``timm:vit_small_patch16_224`` (an image model, frame by frame), ``hf:videomae-base``
            (a video model of transformers, or a folder with its ``config.json``), or
            ``my_package.my_module:my_function``, which returns a pytorchvideo `Net`, a torchvision model, or a module
            that returns maps (B, C, T, H, W).
        pretrained: False for random weights, True for the library's published weights, otherwise a file.
        **settings: Arguments of the function.

    Raises:
        UsageError: There is no such model, or its weights are not available or do not fit.
    """
    library, _, name = source.partition(":")
    if not library or not name:
        raise UsageError(f"expected a model as <library>:<name> or <module>:<function>, got {source!r}")
    build, published = _find(library, name)
    model = build(**settings)
    if not isinstance(model, nn.Module):
        raise UsageError(f"{source}: expected a function that returns a torch.nn.Module, got {type(model).__name__}")
    return with_weights(trunk_of(model), pretrained, published and partial(published, **settings))


def accepted_settings(name: str) -> frozenset[str]:
    """Returns the argument names of the builder of a backbone, for any form of name."""
    builder = _find(*name.split(":", 1))[0] if ":" in name else BACKBONES.get(name)
    return frozenset(inspect.signature(builder).parameters)


def _find(library: str, name: str) -> tuple[Builder, Builder | None]:
    """Returns the builder of the model, and the one with published weights; both take the settings of the model."""
    if library in LIBRARIES:
        return LIBRARIES[library](name)
    build = _import(library, name)
    if "pretrained" in inspect.signature(build).parameters:
        return build, partial(build, pretrained=True)
    return build, None


def _in_pytorchvideo(name: str) -> tuple[Builder, Builder | None]:
    names = [key for key, value in vars(hub).items() if inspect.isfunction(value)]
    build = getattr(hub, _checked("pytorchvideo", name, names))
    return build, partial(build, pretrained=True)


def _in_torchvision(name: str) -> tuple[Builder, Builder | None]:
    _checked("torchvision", name, list_models(torchvision_video))
    return getattr(torchvision_video, name), partial(get_model, name, weights="DEFAULT")


def _in_timm(name: str) -> tuple[Builder, Builder | None]:
    build = partial(create_timm_trunk, name)
    return build, partial(create_timm_model, name, pretrained=True) if has_timm_weights(name) else None


def _in_transformers(name: str) -> tuple[Builder, Builder | None]:
    def published(**settings: Any) -> nn.Module:
        return create_transformers_model(name, pretrained=True, **settings)[0]

    return partial(create_transformers_trunk, name), published


LIBRARIES: dict[str, Callable[[str], tuple[Builder, Builder | None]]] = {
    "pytorchvideo": _in_pytorchvideo,
    "torchvision": _in_torchvision,
    "timm": _in_timm,
    "hf": _in_transformers,
}
"""Libraries of names such as <library>:<name>: functions that find the builders of a name."""


def _checked(library: str, name: str, names: list[str]) -> str:
    if name not in names:
        known = ", ".join(sorted(names))
        raise UsageError(f"{library} has no video model called {name!r}{nearest(name, names)}; known names: {known}")
    return name


def _import(module: str, function: str) -> Callable[..., nn.Module]:
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise UsageError(
            f"backbone {module}:{function}: {module} is part of Python's standard library and builds no network"
        )
    try:
        found = getattr(importlib.import_module(module), function, None)
    except (ImportError, TypeError, ValueError) as error:  # TypeError: its name begins with a dot
        raise UsageError(f"backbone {module}:{function}: {error}; expected {FORMS}") from error
    if not callable(found):
        raise UsageError(f"backbone {module}:{function}: {module} has no function {function}; expected {FORMS}")
    return found
