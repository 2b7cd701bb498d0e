"""Photometry on the processor, a few frames after the other: all passes over them then stay in the cache.

The steps are those of `photometry.py`, which works on whole batches as a GPU likes it; both give the same numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.transforms.blur import blur_matrix
from stica_pv.transforms.photometry_plan import BRIGHTNESS, CONTRAST

_BLOCK_BYTES = 1024 * 1024
"""Floats of the frames that are worked on at once; these and as much scratch fit in a core's second-level cache."""

_BLOCK_COLUMNS = 28
"""Columns that are blurred at once; half the time of 112 at once, and narrower ones are slower again."""


class FrameBlocks:
    """Working memory for a clip, block of frames by block; the same for all clips, since new memory has to be cleared.

    Iterating gives (frames, x, scratch): a slice of the time axis, and two contiguous float32 (3, t, H, W).
    """

    def __init__(self, shape: torch.Size) -> None:
        """Takes the shape (3, T, H, W) of the clips."""
        channels, self.time, height, width = shape
        self.length = max(1, min(self.time, _BLOCK_BYTES // (4 * channels * height * width)))
        self._memory = torch.empty(2, self.length * channels * height * width)
        self._shape = channels, -1, height, width

    def __iter__(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yields the blocks in order."""
        per_frame = self._memory.shape[1] // self.length
        for begin in range(0, self.time, self.length):
            end = min(begin + self.length, self.time)
            x, scratch = self._memory[:, : (end - begin) * per_frame]
            yield slice(begin, end), x.view(self._shape), scratch.view(self._shape)


def jitter_frames_(
    x: Tensor,
    order: Sequence[int],
    factors: Sequence[float],
    weights: Sequence[float],
    *,
    clip: bool,
    scratch: Tensor,
) -> None:
    """Takes the jitter steps in place.

    Args:
        x: float32 (3, t, H, W), frames of a clip.
        order: BRIGHTNESS, CONTRAST and SATURATION in the order they are taken.
        factors: Factor of each by its number; 1 changes nothing.
        weights: Of red, green and blue in gray.
        clip: Cut to [0, 1] after each step.
        scratch: Memory of the shape of `x`.
    """
    for step in order:
        factor = factors[step]
        if factor == 1:
            continue
        if step == BRIGHTNESS:
            x.mul_(factor)
        elif step == CONTRAST:  # the mean of the gray picture is the gray of the means
            means = x.mean((-2, -1), keepdim=True)
            torch.lerp(_gray(means, weights, torch.empty_like(means[:1])), x, factor, out=x)
        else:
            torch.lerp(_gray(x, weights, scratch[:1]), x, factor, out=x)
        if clip and factor > 1:  # a smaller one leads towards the base, which lies on [0, 1] too
            x.clamp_(0, 1)


def gray_frames_(x: Tensor, weights: Sequence[float], *, scratch: Tensor) -> None:
    """Makes (3, t, H, W) gray in place; `scratch` as in `jitter_frames_`."""
    x.copy_(_gray(x, weights, scratch[:1]))


@dataclass(frozen=True)
class ClipBlur:
    """Blur of a clip.

    Attributes:
        rows: (1, H, H), multiplied from the left.
        columns: (W, W), whose transpose is multiplied from the right.
        radius: Pixels beyond which all is 0.
    """

    rows: Tensor
    columns: Tensor
    radius: int


def clip_blur(size: torch.Size, sigma: Tensor, kernel: int) -> ClipBlur | None:
    """Returns the blur of a clip of `size` (H, W) by `sigma` (2,) and `kernel` taps along each axis; None for none."""
    along_height, along_width = sigma.tolist()
    if along_height <= 0 and along_width <= 0:
        return None
    rows = blur_matrix(size[0], sigma[:1], kernel, "reflect")
    square = size[0] == size[1] and along_height == along_width
    columns = rows if square else blur_matrix(size[1], sigma[1:], kernel, "reflect")
    return ClipBlur(rows, columns[0], kernel // 2)


def blur_frames_(x: Tensor, blur: ClipBlur, *, is_gray: bool, scratch: Tensor) -> None:
    """Blurs (3, t, H, W) in place; in gray frames the three channels are equal. `scratch` as in `jitter_frames_`."""
    part = x[:1] if is_gray else x
    channels, time, height, width = part.shape
    pictures = scratch[:channels].view(channels * time, height, width)
    _along_lines(part.view(-1, width), blur.columns, blur.radius, pictures.view(-1, width))
    torch.bmm(blur.rows.expand(channels * time, -1, -1), pictures, out=part.view(channels * time, height, width))
    if is_gray:
        x[1:] = x[:1]


def _along_lines(lines: Tensor, matrix: Tensor, radius: int, result: Tensor) -> None:
    """Multiplies (N, W) by the transpose of a banded (W, W), in blocks that leave most of its zeros out."""
    width = lines.shape[1]
    for begin in range(0, width, _BLOCK_COLUMNS):
        end = min(begin + _BLOCK_COLUMNS, width)
        low, high = max(0, begin - radius), min(width, end + radius)
        torch.mm(lines[:, low:high], matrix[begin:end, low:high].T, out=result[:, begin:end])


def _gray(x: Tensor, weights: Sequence[float], out: Tensor) -> Tensor:
    """Mixes (3, …) into (1, …)."""
    return torch.mul(x[:1], weights[0], out=out).add_(x[1:2], alpha=weights[1]).add_(x[2:], alpha=weights[2])
