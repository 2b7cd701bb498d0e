"""Entries of `torch.hub.load("path/to/this/folder", NAME, source="local", checkpoint=...)`.

Each builds a network of a checkpoint, of a converted one or of a file of `tools/export.py`, in evaluation mode.
"""

from collections.abc import Sequence

import stica_pv.compat  # noqa: F401 - repairs torchvision's import where it needs it

from torch import nn

from stica_pv.errors import UsageError
from stica_pv.exchange import load_encoder, load_trunk_of, read_described

dependencies = ["torch", "torchvision", "pytorchvideo", "fvcore", "yaml", "av", "numpy"]


def stica_encoder(checkpoint: str, modality: str = "video", imports: Sequence[str] = ()) -> nn.Module:
    """Any encoder: uint8 frames (B, 3, T, H, W), or audio (B, S) in [-1, 1], to one vector (B, D) a clip.

    Args:
        checkpoint: A checkpoint, or an exported encoder.
        modality: ``video`` or ``audio``.
        imports: Modules of yours whose code the file may use; a file by itself starts none.
    """
    return load_encoder(checkpoint, modality, imports=imports)


def stica_trunk(checkpoint: str, modality: str = "video", imports: Sequence[str] = ()) -> nn.Module:
    """Any trunk: normalized frames (B, 3, T, H, W) to the feature map, or log-mel (B, 1, F, T) to (B, D).

    Args:
        checkpoint: A checkpoint, an exported encoder, or a trunk in safetensors.
        modality: ``video`` or ``audio``.
        imports: Modules of yours whose code the file may use; a file by itself starts none.
    """
    return load_trunk_of(checkpoint, modality, imports=imports)


def stica_r2plus1d_18(checkpoint: str) -> nn.Module:
    """The video encoder of the papers, uint8 frames (B, 3, T, H, W) to (B, D); a file of another trunk is refused."""
    arch = read_described(checkpoint).cfg().MODEL.ARCH
    if arch != "r2plus1d_18":
        raise UsageError(f"{checkpoint} holds {arch}, not r2plus1d_18: use stica_encoder")
    return load_encoder(checkpoint)
