"""Compiled color of a clip on the CPU: all passes of `color_passes` and the blur, one frame after the other.

A frame and its working memory fit in a core's second-level cache. The functions need numba; see `color_compiled.py`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiles without numba's threads; callers bring their own."""

    def compile_(*, cache: bool) -> Callable[..., Any]:
        # fastmath: sums are reordered, so that they are vectorized; the pixels are bytes, never NaN or infinite.
        return njit(function, cache=cache, nogil=True, fastmath=True, error_model="numpy")

    try:
        return compile_(cache=True)
    except RuntimeError as error:  # `description` of color_compiled.py reports it
        if "cannot cache" not in str(error):
            raise
        return compile_(cache=False)


@_compiled
def _mix_bytes(pixels: Any, weights: Any, offset: Any, low: Any, high: Any, into: Any) -> None:
    """Mixes the three channels of interleaved bytes (3 N,) into one (N,)."""
    red, green, blue = weights
    for i in range(len(into)):
        value = red * np.float32(pixels[3 * i]) + green * np.float32(pixels[3 * i + 1])
        value += blue * np.float32(pixels[3 * i + 2]) + offset
        into[i] = min(max(value, low), high)


@_compiled
def _mix_planes(red: Any, green: Any, blue: Any, weights: Any, offset: Any, low: Any, high: Any, into: Any) -> None:
    """Mixes three channels (N,) into one."""
    of_red, of_green, of_blue = weights
    for i in range(len(into)):
        value = of_red * red[i] + of_green * green[i] + of_blue * blue[i] + offset
        into[i] = min(max(value, low), high)


@_compiled
def _scale_plane(x: Any, weight: Any, offset: Any, into: Any) -> None:
    for i in range(len(into)):
        into[i] = weight * x[i] + offset


@_compiled
def _mean_of_bytes(pixels: Any, weights: Any) -> Any:
    red, green, blue = np.int64(0), np.int64(0), np.int64(0)
    count = len(pixels) // 3
    for i in range(count):
        red += pixels[3 * i]
        green += pixels[3 * i + 1]
        blue += pixels[3 * i + 2]
    return np.float32((weights[0] * red + weights[1] * green + weights[2] * blue) / count)


@_compiled
def _mean(x: Any) -> Any:
    total = np.float64(0)
    for begin in range(0, len(x), 1024):  # short sums in single precision lose nothing that counts
        part = np.float32(0)
        for value in x[begin : begin + 1024]:
            part += value
        total += part
    return total / len(x)


@_compiled
def _mean_of_planes(x: Any, weights: Any) -> Any:
    return np.float32(weights[0] * _mean(x[0]) + weights[1] * _mean(x[1]) + weights[2] * _mean(x[2]))


@_compiled
def _level(pixels: Any, x: Any, of_bytes: Any, weights: Any) -> Any:
    return weights[3] + (_mean_of_bytes(pixels, weights) if of_bytes else _mean_of_planes(x, weights))


@_compiled
def _add_pairs(x: Any, middle: Any, step: Any, first: Any, taps: Any, into: Any) -> None:
    """Adds pairs of x at three distances from `first` on, weighted by `taps`, to `into`, which begins at `middle`."""
    count, near, far = len(into), middle - first * step, middle + first * step
    _add_three(
        x[near : near + count],
        x[far : far + count],
        x[near - step : near - step + count],
        x[far + step : far + step + count],
        x[near - 2 * step : near - 2 * step + count],
        x[far + 2 * step : far + 2 * step + count],
        (taps[first], taps[first + 1], taps[first + 2]),
        into,
    )


@_compiled
def _add_three(a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, taps: Any, into: Any) -> None:
    of_ab, of_cd, of_ef = taps
    for i in range(len(into)):
        into[i] += of_ab * (a[i] + b[i]) + of_cd * (c[i] + d[i]) + of_ef * (e[i] + f[i])


@_compiled
def _blur_line(x: Any, step: Any, taps: Any, into: Any) -> None:
    """Blurs N values with neighbors at multiples of `step`; x has `reach * step` more values at both ends."""
    reach = len(taps) - 1
    _scale_plane(x[reach * step : reach * step + len(into)], taps[0], np.float32(0), into)
    for first in range(1, reach + 1, 3):
        _add_pairs(x, reach * step, step, first, taps, into)


@_compiled
def _blur_plane(x: Any, taps: Any, wide: Any, blurred: Any, into: Any) -> None:
    """Blurs (H, W); `wide` and `blurred` are memory for a frame with a mirrored border as wide as the blur reaches."""
    reach, (height, width) = taps.shape[1] - 1, x.shape
    side = width + 2 * reach
    for i in range(height):
        row = wide[reach + i]
        row[reach : reach + width] = x[i]
        for d in range(1, reach + 1):
            row[reach - d] = x[i, _mirrored(d, width)]
            row[reach + width - 1 + d] = x[i, _mirrored(width - 1 + d, width)]
    for d in range(1, reach + 1):
        wide[reach - d] = wide[reach + _mirrored(d, height)]
        wide[reach + height - 1 + d] = wide[reach + _mirrored(height - 1 + d, height)]
    lines, sums = wide.reshape(wide.size), blurred.reshape(blurred.size)
    _blur_line(lines, side, taps[0], sums[: height * side])  # along the height
    _blur_line(sums[: height * side], 1, taps[1], lines[reach : height * side - reach])
    for i in range(height):
        into[i] = wide[i, reach : reach + width]


@_compiled
def _mirrored(i: Any, side: Any) -> Any:
    """Returns the pixel at i; beyond the ends, that of the mirror image about the center of the last pixel."""
    i = i % (2 * (side - 1))
    return 2 * (side - 1) - i if i >= side else i


@_compiled
def color_clip(
    video: Any,
    begin: Any,
    end: Any,
    matrices: Any,
    offsets: Any,
    gains: Any,
    levels: Any,
    clips: Any,
    gray: Any,
    taps: Any,
    into: Any,
) -> None:
    """Applies P passes and the blur to frames of a clip.

    Args:
        video: Frames, uint8 (T, H W 3), channels last.
        begin: First frame.
        end: Frame after the last.
        matrices: Mixing of each pass, float32 (P, 3, 3); a pass to gray has one row, and the one after it one column.
        offsets: Offsets of its channels, (P, 3).
        gains: Factors of the level that is added to them, (P, 3); all 0 where there is none.
        levels: Weights of the means of the input's channels, and what is added to give the level, (P, 4).
        clips: Whether the pass clips to [0, 1], bool (P,).
        gray: Whether the input of the last pass is a single channel.
        taps: Half of the blur along height and width from the center on, float32 (2, R). R is 0 where nothing is
            blurred, else 1 more than a multiple of 3.
        into: Output (3, T, H, W).
    """
    height, width = into.shape[2:]
    blur, last = taps.shape[1] > 0, len(matrices) - 1
    x = np.empty((3, height * width), np.float32)
    y = np.empty((3, height * width), np.float32)
    border = 2 * taps.shape[1] - 2 if blur else 0
    wide = np.empty((height + border, width + border), np.float32)
    blurred = np.empty((height + border, width + border), np.float32)
    for t in range(begin, end):
        for p in range(len(matrices)):
            lowest, highest = (np.float32(0), np.float32(1)) if clips[p] else (np.float32(-1e30), np.float32(1e30))
            single = gray and p == last
            level = _level(video[t], x, p == 0, levels[p]) if gains[p].any() else np.float32(0)
            if single and blur:
                plane = x[0].reshape(height, width)
                _blur_plane(plane, taps, wide, blurred, plane)
            for c in range(1 if gray and p == last - 1 else 3):
                target = into[c, t].reshape(height * width) if p == last and (gray or not blur) else y[c]
                weights = (matrices[p, c, 0], matrices[p, c, 1], matrices[p, c, 2])
                offset = offsets[p, c] + gains[p, c] * level
                if single:
                    _scale_plane(x[0], weights[0], offset, target)
                elif p == 0:
                    _mix_bytes(video[t], weights, offset, lowest, highest, target)
                else:
                    _mix_planes(x[0], x[1], x[2], weights, offset, lowest, highest, target)
            x, y = y, x
        if blur and not gray:
            for c in range(3):
                _blur_plane(x[c].reshape(height, width), taps, wide, blurred, into[c, t])
