"""Photometry on the processor, one clip after the other: all passes over a clip then stay in the cache.

The steps are those of `photometry.py`, which works on whole batches as a GPU likes it; both give the same numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stica_pv.transforms.blur import blur_matrix

BRIGHTNESS, CONTRAST, SATURATION = range(3)

_BLOCK = 28
"""Columns that are blurred at once; half the time of 112 at once, and narrower ones are slower again."""


def jitter_clip_(
    x: Tensor,
    order: Sequence[int],
    factors: Sequence[float],
    weights: Sequence[float],
    *,
    clip: bool,
    scratch: Tensor,
) -> None:
    """Takes the jitter steps of a clip in place.

    Args:
        x: float32 (3, T, H, W).
        order: BRIGHTNESS, CONTRAST and SATURATION in the order they are taken.
        factors: Factor of each by its number; 1 changes nothing.
        weights: Of red, green and blue in gray.
        clip: Cut to [0, 1] after each step.
        scratch: Memory of the shape of the clip; new memory would have to be cleared by the system for each clip.
    """
    for step in order:
        factor = factors[step]
        if factor == 1:
            continue
        if step == BRIGHTNESS:
            x.mul_(factor)
        elif step == CONTRAST:  # the mean of the gray picture is the gray of the means
            means = x.mean((-2, -1), keepdim=True)
            level = _gray(means, weights, torch.empty_like(means[:1]))
            x.mul_(factor).add_(level, alpha=1 - factor)
        else:
            base = _gray(x, weights, scratch[:1]).mul_(1 - factor)
            x.mul_(factor).add_(base)
        if clip:
            x.clamp_(0, 1)


def gray_clip_(x: Tensor, weights: Sequence[float], *, scratch: Tensor) -> None:
    """Makes (3, T, H, W) gray in place; `scratch` as in `jitter_clip_`."""
    x.copy_(_gray(x, weights, scratch[:1]))


def blur_clip_(x: Tensor, sigma: Tensor, kernel: int, *, is_gray: bool, scratch: Tensor) -> None:
    """Blurs (3, T, H, W) in place.

    Args:
        x: The clip.
        sigma: (2,), standard deviation in pixels along height and width.
        kernel: Taps along each axis, odd.
        is_gray: The three channels are equal.
        scratch: As in `jitter_clip_`.
    """
    part = x[:1] if is_gray else x
    channels, time, height, width = part.shape
    rows = blur_matrix(height, sigma[:1], kernel, "reflect")
    square = height == width and bool(sigma[0] == sigma[1])
    columns = rows if square else blur_matrix(width, sigma[1:], kernel, "reflect")
    pictures = scratch[:channels].view(channels * time, height, width)
    _along_lines(part.view(-1, width), columns[0], kernel // 2, pictures.view(-1, width))
    torch.bmm(rows.expand(channels * time, -1, -1), pictures, out=part.view(channels * time, height, width))
    if is_gray:
        x[1:] = x[:1]


def _along_lines(lines: Tensor, matrix: Tensor, radius: int, result: Tensor) -> None:
    """Multiplies (N, W) by the transpose of a banded (W, W), in blocks that leave most of its zeros out."""
    width = lines.shape[1]
    for begin in range(0, width, _BLOCK):
        end = min(begin + _BLOCK, width)
        low, high = max(0, begin - radius), min(width, end + radius)
        torch.mm(lines[:, low:high], matrix[begin:end, low:high].T, out=result[:, begin:end])


def _gray(x: Tensor, weights: Sequence[float], out: Tensor) -> Tensor:
    """Mixes (3, …) into (1, …)."""
    return torch.mul(x[:1], weights[0], out=out).add_(x[1:2], alpha=weights[1]).add_(x[2:], alpha=weights[2])
