"""Video models of Hugging Face's transformers as trunks, built from their configurations."""

from pathlib import Path
from typing import Any, NamedTuple

import stica_pv.compat  # noqa: F401 - repairs torchvision's import, which transformers needs

from torch import Tensor, nn

from stica_pv.errors import UsageError, nearest
from stica_pv.models.wrapped_trunk import WrappedTrunk, check_input

MISSING = "hf:<name> needs transformers: pip install 'stica_pv[trunks]'"


class Family(NamedTuple):
    """A kind of video model.

    Attributes:
        title: Beginning of the names of its classes.
        lengths: Keys of its configuration with the frames and the side of a clip.
        settings: Keys of its configuration that a trunk sets.
        arguments: Further arguments of its model.
        call: Further arguments of its forward pass.
        extra: Number of tokens before those of the patches.
        time_last: Whether tokens are ordered by position before time.
        unused: Part that a trunk does not need.
    """

    title: str
    lengths: tuple[str, str] = ("num_frames", "image_size")
    settings: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    call: dict[str, Any] = {}
    extra: int = 0
    time_last: bool = False
    unused: str = ""


FAMILIES: dict[str, Family] = {  # by `model_type` of the configuration
    "videomae": Family("VideoMAE", settings={"use_mean_pooling": False}),  # without it, there is no last norm
    "vivit": Family("Vivit", arguments={"add_pooling_layer": False}, extra=1),
    "timesformer": Family("Timesformer", extra=1, time_last=True),
    "vjepa2": Family("VJEPA2", ("frames_per_clip", "crop_size"), call={"skip_predictor": True}, unused="predictor"),
}


def _sizes(width: int, layers: int, heads: int, hidden: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": hidden,
    }


def _vjepa2(width: int, layers: int, heads: int, ratio: float, side: int) -> dict[str, Any]:
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    return sizes | {"mlp_ratio": ratio, "crop_size": side, "frames_per_clip": 64}


class Published(NamedTuple):
    """A published model: its family, repository on the hub, and keys of its configuration."""

    family: str
    repository: str
    settings: dict[str, Any]


MODELS: dict[str, Published] = {
    "videomae-small": Published("videomae", "MCG-NJU/videomae-small-finetuned-kinetics", _sizes(384, 12, 6, 1536)),
    "videomae-base": Published("videomae", "MCG-NJU/videomae-base", _sizes(768, 12, 12, 3072)),
    "videomae-large": Published("videomae", "MCG-NJU/videomae-large", _sizes(1024, 24, 16, 4096)),
    "videomae-huge": Published("videomae", "MCG-NJU/videomae-huge-finetuned-kinetics", _sizes(1280, 32, 16, 5120)),
    "vivit-b-16x2": Published("vivit", "google/vivit-b-16x2", _sizes(768, 12, 12, 3072)),
    "timesformer-base": Published("timesformer", "facebook/timesformer-base-finetuned-k400", _sizes(768, 12, 12, 3072)),
    "timesformer-hr": Published(
        "timesformer",
        "facebook/timesformer-hr-finetuned-k400",
        _sizes(768, 12, 12, 3072) | {"num_frames": 16, "image_size": 448},
    ),
    "vjepa2-vitl": Published("vjepa2", "facebook/vjepa2-vitl-fpc64-256", _vjepa2(1024, 24, 16, 4.0, 256)),
    "vjepa2-vith": Published("vjepa2", "facebook/vjepa2-vith-fpc64-256", _vjepa2(1280, 32, 16, 4.0, 256)),
    "vjepa2-vitg": Published("vjepa2", "facebook/vjepa2-vitg-fpc64-256", _vjepa2(1408, 40, 22, 48 / 11, 256)),
    "vjepa2-vitg-384": Published("vjepa2", "facebook/vjepa2-vitg-fpc64-384", _vjepa2(1408, 40, 22, 48 / 11, 384)),
}


class TokenTrunk(WrappedTrunk):
    """A video transformer without its class token, patch tokens in their grid. It accepts a single clip size."""

    def __init__(self, model: nn.Module, family: Family) -> None:
        super().__init__(model)
        self.family = family
        config: Any = model.config
        self.probe = int(getattr(config, family.lengths[0])), _side(getattr(config, family.lengths[1]))
        self.patch = _patch(config)
        self.freeze_unreached()

    def forward(self, video: Tensor) -> Tensor:
        """Maps float (B, 3, T, H, W) of the built size to the map (B, C, ⌊T/t⌋, ⌊H/p⌋, ⌊W/p⌋) of its patches."""
        check_input(video, *self.probe)
        steps, height, width = (length // part for length, part in zip(video.shape[2:], self.patch, strict=True))
        result = self.model(video.transpose(1, 2), **self.family.call)
        tokens = result.last_hidden_state[:, self.family.extra :].mT
        if self.family.time_last:
            return tokens.unflatten(2, (height, width, steps)).permute(0, 1, 4, 2, 3)
        return tokens.unflatten(2, (steps, height, width))


def _side(size: Any) -> int:
    return int(size if isinstance(size, int) else size[-1])


def _patch(config: Any) -> tuple[int, int, int]:
    """Returns the frames, rows and columns of a patch."""
    tubelet = getattr(config, "tubelet_size", 1)
    if not isinstance(tubelet, int):
        return tuple(tubelet)
    return tubelet, _side(config.patch_size), _side(config.patch_size)


def create_transformers_model(
    name: str, *, frames: int | None = None, size: int | None = None, pretrained: bool = False, **settings: Any
) -> tuple[nn.Module, Family]:
    """Builds a video model of transformers, and returns it with its family.

    Args:
        name: A name of `MODELS`, or a folder with ``config.json``.
        frames: Frames per clip; None: the published number.
        size: Side of a frame; None: the published one.
        pretrained: Whether to load the published weights, or those in the folder.
        **settings: Further keys of the configuration.

    Raises:
        UsageError: transformers is not installed, there is no such model, or the folder holds another kind of model.
    """
    transformers = _transformers()
    family, source, published = _resolve(transformers, name)
    own = {key: value for key, value in zip(family.lengths, (frames, size), strict=True) if value is not None}
    changed = published | family.settings | own | settings
    config_class = getattr(transformers, f"{family.title}Config")
    model_class = getattr(transformers, f"{family.title}Model")
    if pretrained:
        config = config_class.from_pretrained(source, **(family.settings | own | settings))
        model = model_class.from_pretrained(source, config=config, **family.arguments)
    else:
        local = Path(source).is_dir()
        config = config_class.from_pretrained(source, **changed) if local else config_class(**changed)
        model = model_class(config, **family.arguments)
    if family.unused:
        delattr(model, family.unused)
    return model, family


def create_transformers_trunk(
    name: str, *, frames: int | None = None, size: int | None = None, **settings: Any
) -> TokenTrunk:
    """Builds a video model of transformers as a trunk with random weights; see `create_transformers_model`."""
    return TokenTrunk(*create_transformers_model(name, frames=frames, size=size, **settings))


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UsageError(MISSING) from error
    return transformers


def _resolve(transformers: Any, name: str) -> tuple[Family, str, dict[str, Any]]:
    """Returns family, folder or repository, and published keys of a name."""
    if name in MODELS:
        found = MODELS[name]
        return FAMILIES[found.family], found.repository, found.settings
    folder = Path(name)
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"hf:{name}: there is no such video model{nearest(name, list(MODELS))}; expected one of "
            f"{', '.join(MODELS)}, or a folder with config.json"
        )
    kind = transformers.PreTrainedConfig.get_config_dict(str(folder))[0].get("model_type", "")
    if kind not in FAMILIES:
        raise UsageError(f"hf:{name}: expected a configuration of {', '.join(FAMILIES)}, got model_type {kind!r}")
    return FAMILIES[kind], str(folder), {}
