"""Display of network inputs: strips of frames, spectrograms, and feature-crop windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stica_pv.structures import InputNote

FRAMES_SHOWN, MOST_FRAMES = 8, 12
OUTSIDE = 1e-3  # of colors in [0, 1]; less is rounding


@dataclass(frozen=True)
class Strip:
    """Frames of a clip side by side, each for an equal part of its time.

    Attributes:
        pixels: uint8 (H, n·W, 3).
        frames: Indices of the frames in the input.
        shape: (T, H, W) of the input.
        outside: Share of denormalized values outside [0, 1], which are clipped in the image.
    """

    pixels: NDArray[np.uint8]
    frames: tuple[int, ...]
    shape: tuple[int, int, int]
    outside: float


@dataclass(frozen=True)
class Rectangle:
    """A feature-crop window on a strip, in input pixels from its top left corner.

    Attributes:
        window: Index of the window in `InputNote.windows`.
        left: Left edge.
        top: Top edge.
        width: Width.
        height: Height.
    """

    window: int
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Span:
    """A temporal window from `start` to `end`, as shares of the clip."""

    window: int
    start: float
    end: float


def frames_shown(frames: int) -> tuple[int, ...]:
    """Return the indices of at most `MOST_FRAMES` of T frames: those at the beginning of equal parts.

    If T is divisible, the parts are whole numbers of frames, so that a frame is exactly above its audio.
    """
    whole = [count for count in range(4, MOST_FRAMES + 1) if frames % count == 0]
    count = frames if frames <= MOST_FRAMES else max(whole, default=FRAMES_SHOWN)
    return tuple(i * frames // count for i in range(count))


def strip_of(x: Tensor, note: InputNote, frames: Sequence[int] | None = None) -> Strip:
    """Build a strip of one input, float (C, T, H, W); two-channel flow uses red and green.

    Args:
        x: Network input.
        note: Display metadata of the input.
        frames: Indices of the frames to show; None: those of `frames_shown`.
    """
    channels, length, height, width = x.shape
    shown = tuple(frames_shown(length) if frames is None else frames)
    mean, std = (x.new_tensor(value[:channels]).view(-1, 1, 1, 1) for value in (note.mean, note.std))
    colors = x[:, list(shown)] * std + mean
    outside = float(((colors < -OUTSIDE) | (colors > 1 + OUTSIDE)).float().mean())
    if channels < 3:
        colors = torch.cat([colors, colors.new_full((3 - channels, *colors.shape[1:]), 0.5)])
    pixels = (colors.clamp(0, 1) * 255).round().to(torch.uint8)
    side_by_side = pixels.permute(2, 1, 3, 0).reshape(height, len(shown) * width, 3)
    return Strip(side_by_side.numpy(), shown, (length, height, width), outside)


def rectangles_of(strip: Strip, note: InputNote, sample: int) -> list[Rectangle]:
    """Return the spatial windows, on every frame of a strip that they include."""
    _, height, width = strip.shape
    found = []
    for number, window in enumerate(note.windows):
        (start, end), (top, bottom), (left, right) = window.in_input(sample, strip.shape)
        if (top, bottom, left, right) != (0, height, 0, width):
            found += [
                Rectangle(number, position * width + left, top, right - left, bottom - top)
                for position, frame in enumerate(strip.frames)
                if start <= frame < end
            ]
    return found


def windows_of(x: Tensor, note: InputNote, sample: int) -> tuple[Strip, list[Rectangle]] | None:
    """Build a strip of the spatial windows, each on the middle frame of its time.

    Returns:
        The strip and one rectangle per frame; None without spatial windows.
    """
    shape = (x.shape[1], x.shape[2], x.shape[3])
    frames: list[int] = []
    found: list[Rectangle] = []
    for number, window in enumerate(note.windows):
        (start, end), (top, bottom), (left, right) = window.in_input(sample, shape)
        if (top, bottom, left, right) != (0, shape[1], 0, shape[2]):
            found.append(Rectangle(number, len(frames) * shape[2] + left, top, right - left, bottom - top))
            frames.append(int(start + end) // 2)
    return (strip_of(x, note, frames), found) if found else None


def spans_of(note: InputNote, sample: int, frames: int) -> list[Span]:
    """Return the temporal windows as shares of the clip."""
    found = []
    for number, window in enumerate(note.windows):
        (start, end), _, _ = window.in_input(sample, (frames, 1, 1))
        if (start, end) != (0, frames):
            found.append(Span(number, start / frames, end / frames))
    return found


def spectrogram_of(x: Tensor) -> NDArray[np.uint8]:
    """Return gray values (F, T) of a spectrogram (1, F, T): low bands at the bottom, the largest value black."""
    values = x[0].flip(0)
    low, high = values.amin(), values.amax()
    grays = 255 * (1 - (values - low) / (high - low).clamp(min=1e-12))
    return grays.round().to(torch.uint8).numpy()
