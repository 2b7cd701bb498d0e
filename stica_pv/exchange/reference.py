"""Settings implied by a GDT or STiCA checkpoint: it holds no configuration, but its shapes determine most of it."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from stica_pv.errors import UsageError, check_choice

VIDEO, AUDIO = "video_network.base.", "audio_network.base."
TRANSFORMER = "video_pooling.2.transformer."
VIDEO_ARCHS = {1: "r2plus1d_10", 2: "r2plus1d_18"}  # by blocks per stage
AUDIO_ARCHS = {1: "resnet9", 2: "resnet18"}

AVERAGE: dict[str, Any] = {"POOL.NAME": "average"}
# GDT's clips, audio and loss; its networks are those of STiCA with average pooling.
GDT_SETTINGS: dict[str, Any] = AVERAGE | {
    "DATA.NUM_FRAMES": 30,
    "AUDIO.NUM_MEL_BINS": 40,
    "AUDIO.MEAN": 1.93,
    "AUDIO.STD": 17.89,
    "CROP.NUM_LARGE_SPATIAL": 0,
    "CROP.NUM_SMALL_SPATIAL": 0,
    "CROP.NUM_LARGE_TEMPORAL": 0,
    "CROP.NUM_SMALL_TEMPORAL": 0,
    "CONTRASTIVE.TEMPERATURE": 0.07,
    "CONTRASTIVE.CROSS_MODAL_WEIGHT": 1.0,
}
STICA, GDT = "stica", "gdt"
GUESS = (
    "the file has no transformer, and GDT and STiCA without one have the same tensors: GDT (40 bands, mean 1.93, "
    "std 17.89, 30 frames) is a guess; confirm with --as gdt, or use --as stica (257 bands, mean 0, std 1)"
)


def is_reference(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether the names are those of GDT and STiCA."""
    return any(name.startswith(VIDEO) for name in tensors)


def is_guess(tensors: Mapping[str, Tensor], method: str) -> bool:
    """Return whether neither the file nor the user determines the method."""
    return not method and not _count(tensors, TRANSFORMER)


def reference_settings(tensors: Mapping[str, Tensor], method: str = "") -> dict[str, Any]:
    """Return keys and values that the networks of a file need.

    Args:
        tensors: Weights by the names of GDT, without ``module.``.
        method: ``stica`` or ``gdt``, whose clips and spectrograms differ; the weights do not determine the length of
            the clips or the number of bands. Empty: STiCA with a transformer, else GDT, which is a guess.

    Raises:
        UsageError: The networks have an unknown size or do not match the method.
    """
    if method:
        check_choice("--as", method, (STICA, GDT))
    trunk = _tensor(tensors, f"{VIDEO}layer1.0.conv1.0.0.weight")
    # Both networks were released with the same width, so it is known without the audio network too.
    width = trunk.shape[1]
    settings = {"MODEL.ARCH": _arch(VIDEO_ARCHS, tensors, VIDEO), "MODEL.WIDTH": width, "AUDIO.WIDTH": width}
    if any(name.startswith(AUDIO) for name in tensors):
        settings["AUDIO.WIDTH"] = _tensor(tensors, f"{AUDIO}conv1.weight").shape[0]
        settings["AUDIO.ARCH"] = _arch(AUDIO_ARCHS, tensors, AUDIO)
    return settings | _head_settings(tensors) | _pool_settings(tensors, method)


def _pool_settings(tensors: Mapping[str, Tensor], method: str) -> dict[str, Any]:
    layers = _count(tensors, TRANSFORMER)
    if layers and method == GDT:
        raise UsageError(f"--as gdt: the file has {layers} transformer layers, but GDT has none; remove --as")
    if not layers:
        return AVERAGE if method == STICA else GDT_SETTINGS
    return {
        "POOL.NAME": "transformer",
        "POOL.LAYERS": layers,
        "POOL.DIM": _tensor(tensors, f"{TRANSFORMER}0.mha.q_lin.weight").shape[0],
        "POOL.VALUE_PROJECTION": f"{TRANSFORMER}0.mha.v_lin.weight" in tensors,
        "POOL.POSITIONS": any(name.startswith("video_pooling.2.pos_embs.0") for name in tensors),
    }


def _head_settings(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    for head in ("mlp_v", "mlp_a"):
        if f"{head}.weight" in tensors:  # one linear layer
            return {"HEAD.DIM": tensors[f"{head}.weight"].shape[0], "HEAD.HIDDEN_DIM": 0}
        if f"{head}.block_forward.8.weight" in tensors:
            dim, hidden = tensors[f"{head}.block_forward.8.weight"].shape
            return {"HEAD.DIM": dim, "HEAD.HIDDEN_DIM": hidden}
    return {}


def _tensor(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise UsageError(f"the file looks like GDT or STiCA, but has no {name}")
    return tensors[name]


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    numbers = {found.group(1) for name in tensors if (found := re.match(rf"{re.escape(prefix)}(\d+)\.", name))}
    return len(numbers)


def _arch(names: Mapping[int, str], tensors: Mapping[str, Tensor], prefix: str) -> str:
    blocks = _count(tensors, f"{prefix}layer1.")
    if blocks not in names:
        raise UsageError(f"{prefix}layer1 has {blocks} blocks per stage; expected one of {sorted(names)}")
    return names[blocks]
