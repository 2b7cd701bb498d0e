"""Color on the CPU, a few frames at a time, so that all passes over them stay in the cache.

The steps are those of `color.py`, which processes whole batches for a GPU; both give the same results.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.transforms.blur import blur_matrix
from stica_pv.transforms.color_passes import ColorPass

_BLOCK_BYTES = 1024 * 1024
"""Bytes of the frames that are processed at once; these and as much scratch fit in a core's second-level cache."""

_BLOCK_PIXELS = 38
"""Rows or columns that are blurred at once; 28 to 56 take about as long, 16 or all 112 up to twice as long."""


class FrameBlocks:
    """Working memory for a clip, by blocks of frames; reused for all clips, since new memory has to be cleared.

    Iterating gives (frames, x, scratch): a slice of the time axis, and two contiguous float32 (3, H, t, W). Rows come
    before frames, so that a blur along the height is a product of large matrices.
    """

    def __init__(self, shape: torch.Size) -> None:
        """Takes the shape (3, T, H, W) of the clips."""
        channels, self.time, height, width = shape
        self.length = max(1, min(self.time, _BLOCK_BYTES // (4 * channels * height * width)))
        self._memory = torch.empty(2, self.length * channels * height * width)
        self._shape = channels, height, -1, width

    def __iter__(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yields the blocks in order."""
        per_frame = self._memory.shape[1] // self.length
        for begin in range(0, self.time, self.length):
            end = min(begin + self.length, self.time)
            x, scratch = self._memory[:, : (end - begin) * per_frame]
            yield slice(begin, end), x.view(self._shape), scratch.view(self._shape)


@dataclass(frozen=True)
class Band:
    """A block of the output along an axis.

    Attributes:
        block: Rows or columns of the block.
        near: Rows or columns that its weights reach.
        weights: Weights (block, near).
    """

    block: slice
    near: slice
    weights: Tensor


@dataclass(frozen=True)
class ClipBlur:
    """Blur of a clip, by blocks that omit most zeros of its matrices."""

    rows: Sequence[Band]
    columns: Sequence[Band]


def clip_blur(size: torch.Size, sigma: Tensor, kernel: int) -> ClipBlur | None:
    """Returns the blur of a clip of `size` (H, W) by `sigma` (2,) and `kernel` taps along each axis; None for none."""
    along_height, along_width = sigma.tolist()
    if along_height <= 0 and along_width <= 0:
        return None
    rows = _bands(size[0], sigma[:1], kernel)
    square = size[0] == size[1] and along_height == along_width
    return ClipBlur(rows, rows if square else _bands(size[1], sigma[1:], kernel))


def _bands(side: int, sigma: Tensor, kernel: int) -> list[Band]:
    matrix, bands = blur_matrix(side, sigma, kernel, "reflect")[0], []
    for begin in range(0, side, _BLOCK_PIXELS):
        end = min(begin + _BLOCK_PIXELS, side)
        near = slice(max(0, begin - kernel // 2), min(side, end + kernel // 2))
        bands.append(Band(slice(begin, end), near, matrix[begin:end, near]))
    return bands


def color_frames(
    x: Tensor, passes: Sequence[ColorPass], blur: ClipBlur | None, *, scratch: Tensor, into: Tensor
) -> None:
    """Applies the passes, and the blur before the last.

    The weights of a blur sum to 1, so it commutes with affine steps: colors and normalization.

    Args:
        x: Frames of a clip, float32 (3, H, t, W), contiguous; overwritten.
        passes: Passes of `color_passes`.
        blur: Blur of the clip, if any.
        scratch: Memory of the shape of `x`.
        into: Output (3, H, t, W).
    """
    *first, last = passes
    for colors in first:
        changed = x[: colors.channels]
        colors.write(x, colors.offsets(x), scratch=scratch, into=changed)
        x = changed
    offsets = last.offsets(x)  # from the means before the blur
    if blur is not None:
        blur_frames_(x, blur, scratch=scratch)
    last.write(x, offsets, scratch=scratch, into=into)


def blur_frames_(x: Tensor, blur: ClipBlur, *, scratch: Tensor) -> None:
    """Blurs (C, H, t, W) in place; `scratch` as in `color_frames`."""
    part = scratch[: len(x)]
    lines, blurred_lines = x.view(-1, x.shape[3]), part.view(-1, x.shape[3])
    for band in blur.columns:
        torch.mm(lines[:, band.near], band.weights.T, out=blurred_lines[:, band.block])
    frames, blurred = part.flatten(2), x.flatten(2)
    for band in blur.rows:
        torch.bmm(band.weights.expand(len(x), -1, -1), frames[:, band.near], out=blurred[:, band.block])
