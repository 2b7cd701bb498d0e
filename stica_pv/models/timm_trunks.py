"""Image models of timm as trunks: each frame by itself, and its features as one step of the map."""

import math
from typing import Any

import stica_pv.compat  # noqa: F401 - repairs torchvision's import, which timm needs

from torch import Tensor, nn

from stica_pv.errors import UsageError, nearest
from stica_pv.models.wrapped_trunk import WrappedTrunk, check_input

MISSING = "timm:<name> needs timm: pip install 'stica_pv[trunks]'"
PROBE_FRAMES = 2


class FrameTrunk(WrappedTrunk):
    """An image model on every frame; class and register tokens are dropped, patch tokens are in their grid."""

    def __init__(self, model: nn.Module, *, size: int, fixed: bool) -> None:
        """Takes a model.

        Args:
            model: Model of timm with `forward_features`.
            size: Side of the frames that it is built for.
            fixed: Whether it accepts no other side.
        """
        super().__init__(model)
        self.probe = PROBE_FRAMES, size
        self.fixed_size = size if fixed else None
        self.freeze_unreached()

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, 3, T, H, W) to the map (B, C, T, H', W')."""
        check_input(video, None, self.fixed_size)
        batch, _, steps = video.shape[:3]
        frames = video.transpose(1, 2).flatten(0, 1)
        features = self._in_grid(self.model.forward_features(frames), frames)
        return features.unflatten(0, (batch, steps)).transpose(1, 2)

    def _in_grid(self, features: Tensor, frames: Tensor) -> Tensor:
        """Lays features out as (B·T, C, H', W')."""
        if features.ndim == 4:
            return features.permute(0, 3, 1, 2) if _is_channels_last(self.model) else features
        patches = features[:, getattr(self.model, "num_prefix_tokens", 0) :]
        height, width = _grid(self.model, patches.shape[1], frames)
        if height * width != patches.shape[1]:
            raise UsageError(
                f"timm's {type(self.model).__name__} returns {patches.shape[1]} tokens of a frame, which are no grid: "
                "use another model, or <module>:<function> with a trunk of your own"
            )
        return patches.mT.unflatten(2, (height, width))


def _is_channels_last(model: nn.Module) -> bool:
    return getattr(model, "output_fmt", "NCHW") == "NHWC"


def _grid(model: nn.Module, tokens: int, frames: Tensor) -> tuple[int, int]:
    """Returns the rows and columns of the patch tokens; a square where the model does not state them."""
    of_size: Any = getattr(getattr(model, "patch_embed", None), "dynamic_feat_size", None)
    height, width = of_size(tuple(frames.shape[2:])) if of_size else (math.isqrt(tokens),) * 2
    return (height, width) if height * width == tokens else (math.isqrt(tokens),) * 2  # pooled after the patches


def create_timm_model(name: str, *, size: int | None = None, pretrained: bool = False, **library: Any) -> Any:
    """Builds a model of timm without its classifier; with `size`, for frames of this side if it accepts a single one.

    Raises:
        UsageError: timm is not installed, or has no such model.
    """
    timm: Any = _timm()
    _check_name(timm, name)
    if size is not None and _is_fixed(timm, name):
        library = {"img_size": size} | library
    return timm.create_model(name, pretrained=pretrained, num_classes=0, **library)


def create_timm_trunk(name: str, *, size: int | None = None, **library: Any) -> FrameTrunk:
    """Builds timm's image model `name` as a trunk with random weights; see `create_timm_model`."""
    model = create_timm_model(name, size=size, **library)
    return FrameTrunk(model, size=size or model.default_cfg["input_size"][-1], fixed=_is_fixed(_timm(), name))


def has_timm_weights(name: str) -> bool:
    """Whether timm publishes weights of a model."""
    timm: Any = _timm()
    return bool(_check_name(timm, name) and timm.is_model_pretrained(name))


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise UsageError(MISSING) from error
    return timm


def _is_fixed(timm: Any, name: str) -> bool:
    published = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return bool(published and published.fixed_input_size)


def _check_name(timm: Any, name: str) -> bool:
    base, _, tag = name.partition(".")
    known = timm.list_models()
    if base not in known:
        raise UsageError(f"timm has no image model called {base!r}{nearest(base, known)}; timm.list_models() lists all")
    tagged = timm.list_pretrained(f"{base}.*") if tag else [name]
    if name not in tagged:
        tags = ", ".join(tagged) or "none"
        raise UsageError(f"timm has no weights {name!r}{nearest(name, tagged)}; weights of {base}: {tags}")
    return True
