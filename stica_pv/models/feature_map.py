"""What a trunk makes of an input size, found without running it."""

import copy

import torch
from torch import nn

from stica_pv.errors import UsageError


@torch.no_grad()
def measure_map(backbone: nn.Module, *, frames: int, size: int) -> tuple[int, int, int, int]:
    """Returns (C, T, H, W) of the feature map for clips of (3, frames, size, size).

    A copy of the trunk runs on the meta device: shapes only, no arithmetic.

    Raises:
        UsageError: The trunk cannot take such an input.
    """
    shadow = copy.deepcopy(backbone).to("meta").eval()
    try:
        shape = shadow(torch.empty(1, 3, frames, size, size, device="meta")).shape
    except RuntimeError as error:
        raise UsageError(f"the backbone cannot take clips of {frames} frames of {size} px: {error}") from error
    if len(shape) != 5:
        raise UsageError(f"a backbone must give a map (B, C, T, H, W), this one gives {tuple(shape)}")
    _, channels, steps, height, width = shape
    return int(channels), int(steps), int(height), int(width)
