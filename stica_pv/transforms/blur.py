"""Gaussian blur of a batch of clips, to each its own width: two products with banded matrices, no loop over samples."""

from typing import Literal

import torch
from torch import Tensor

from stica_pv.errors import UsageError

Border = Literal["reflect", "zero"]

_NOTHING = 1e-12
"""Taps below this share of the centre's do not count. They could not change a float32 sum, but their products would be
denormal numbers, with which a processor takes twenty times as long."""


def gaussian_blur(x: Tensor, sigma: Tensor, kernel: int, border: Border = "reflect") -> Tensor:
    """Blurs every frame.

    Args:
        x: (B, 3, T, H, W).
        sigma: (B, 2), standard deviation in pixels along height and width; 0 changes nothing.
        kernel: Taps along each axis, odd.
        border: What lies beyond the frame: its mirror image about the centre of the last pixel, or black.

    Returns:
        (B, 3, T, H, W).
    """
    rows = blur_matrix(x.shape[3], sigma[:, 0], kernel, border)
    columns = blur_matrix(x.shape[4], sigma[:, 1], kernel, border)
    x = torch.bmm(x.flatten(1, 3), columns.transpose(1, 2)).view_as(x)
    return torch.einsum("bij,bctjw->bctiw", rows, x)


def blur_matrix(side: int, sigma: Tensor, kernel: int, border: Border) -> Tensor:
    """Returns (B, side, side): row i holds the normalised Gaussian around i.

    Reflected, a pixel j counts at its own place, at -j and at 2 (side - 1) - j, as far as these lie within the kernel.
    """
    radius = kernel // 2
    if side <= radius:
        raise UsageError(f"a blur with {kernel} taps needs sides of more than {radius} pixels, got {side}")
    sigma = sigma.clamp_min(1e-3).view(-1, 1, 1)  # 0 becomes the identity

    taps = torch.arange(radius + 2, device=sigma.device, dtype=torch.float32)
    falling = torch.exp(-0.5 * (taps / sigma).square()).masked_fill(taps > radius, 0).flatten(1)  # (B, radius + 2)
    falling = falling.masked_fill(falling < _NOTHING, 0)

    def gauss(distance: Tensor) -> Tensor:
        return falling[:, distance.abs().clamp_max(radius + 1)]

    i = torch.arange(side, device=sigma.device)[:, None]
    j, last = i.T, side - 1
    weights = gauss(i - j)
    if border == "zero":
        return weights / (2 * falling.sum(1) - falling[:, 0]).view(-1, 1, 1)
    weights = weights + gauss(i + j).masked_fill(j == 0, 0) + gauss(2 * last - i - j).masked_fill(j == last, 0)
    return weights / weights.sum(2, keepdim=True)
