"""Gaussian blur of a batch of clips, one width per clip: two products with banded matrices, no loop over samples."""

from typing import Literal

import torch
from torch import Tensor

from stica_pv.errors import UsageError

Border = Literal["reflect", "zero"]

_NOTHING = 1e-12
"""Taps below this share of the center's are set to 0. They could not change a float32 sum, but their products would be
denormal numbers, with which a processor is twenty times slower."""


def gaussian_blur(x: Tensor, sigma: Tensor, kernel: int, border: Border = "reflect") -> Tensor:
    """Blurs every frame.

    Args:
        x: Frames (B, 3, T, H, W).
        sigma: Standard deviation in pixels along height and width, (B, 2); 0 changes nothing.
        kernel: Number of taps along each axis, odd.
        border: Padding: the mirror image about the center of the last pixel, or black.

    Returns:
        (B, 3, T, H, W).
    """
    rows = blur_matrix(x.shape[3], sigma[:, 0], kernel, border)
    columns = blur_matrix(x.shape[4], sigma[:, 1], kernel, border)
    x = torch.bmm(x.flatten(1, 3), columns.transpose(1, 2)).view_as(x)
    return torch.einsum("bij,bctjw->bctiw", rows, x)


def blur_matrix(side: int, sigma: Tensor, kernel: int, border: Border) -> Tensor:
    """Returns (B, side, side): row i contains the normalized Gaussian around i.

    With reflection, a pixel j counts at j, -j and 2 (side - 1) - j, if these are within the kernel.
    """
    check_reach(side, kernel)
    radius, gauss = kernel // 2, gauss_taps(sigma, kernel)[:, None]

    # Row i contains its taps from column i on, that is, columns -radius to side + radius - 1 of the frame.
    wide = gauss.new_zeros(len(gauss), side, side + 2 * radius)
    step = wide.stride(1) + 1
    wide.as_strided((len(gauss), side, kernel), (wide.stride(0), step, 1)).copy_(gauss.expand(-1, side, -1))
    before, weights, after = wide.split([radius, side, radius], 2)
    if border == "zero":
        return weights / gauss.sum(2, keepdim=True)
    weights[:, :, 1 : radius + 1] += before.flip(2)
    weights[:, :, side - 1 - radius : side - 1] += after.flip(2)
    return weights / weights.sum(2, keepdim=True)


def check_reach(side: int, kernel: int) -> None:
    """Raises if a frame of `side` pixels is too small for a mirror image as wide as the kernel reaches."""
    if side <= kernel // 2:
        raise UsageError(f"a blur with {kernel} taps needs sides of more than {kernel // 2} pixels, got {side}")


def gauss_taps(sigma: Tensor, kernel: int) -> Tensor:
    """Returns the Gaussian around a pixel, not normalized: (B, kernel) by `sigma` (B,)."""
    radius = kernel // 2
    taps = torch.arange(-radius, radius + 1, device=sigma.device, dtype=torch.float32)
    gauss = torch.exp(-0.5 * (taps / sigma.clamp_min(1e-3)[:, None]).square())  # a sigma of 0 becomes the identity
    return gauss.masked_fill(gauss < _NOTHING, 0)
