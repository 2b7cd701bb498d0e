"""Positions of decoded audio frames: corrects rounded, jittered or wrong time stamps, and keeps true gaps."""

import math

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Lengths = npt.NDArray[np.int64]

_SMOOTHED = 5
"""Window of frames for smoothing; a step is a gap if it lasts for more than half of them."""

_ROUNDING = 1.5
"""Number of tolerances by which time stamps may fluctuate before they count as jittered."""


def jittered(stamps: Numbers, lengths: Lengths, tolerance: float, lasting: float) -> bool:
    """Return whether time stamps deviate from the true positions temporarily; arguments as for `frame_positions`."""
    shifts = _shifts(stamps, lengths)
    if np.ptp(shifts) <= tolerance:  # nearly every file
        return False
    shifts, reach = _smooth(shifts), _reach(lengths, lasting)
    parts = np.split(shifts, _gaps(shifts, tolerance, reach))
    return any(_swing(part, reach, tolerance) > _ROUNDING * tolerance for part in parts)


def frame_positions(
    stamps: Numbers, lengths: Lengths, tolerance: float, lasting: float, *, first_counts: bool = False
) -> list[int]:
    """Return the first sample of each frame of a stretch: frames are contiguous unless there is a real gap.

    Time stamps may be rounded or jittered, and single ones wrong (Ogg Vorbis where the block size changes, the first
    frame after a seek). So only a lasting step is a gap, and between gaps most time stamps determine the position.

    Args:
        stamps: Time stamps in samples; nan for none.
        lengths: Samples of each frame.
        tolerance: Smallest step in samples that is a gap.
        lasting: Number of samples for which time stamps must stay apart on both sides of a gap.
        first_counts: Whether the first time stamp after a gap determines the position, as in FFmpeg, unless it is an
            outlier.
    """
    if len(stamps) == 0 or bool(np.isnan(stamps).all()):
        return []
    joined = np.cumsum(lengths) - lengths
    shifts = _shifts(stamps, lengths)
    if np.ptp(shifts) <= tolerance:  # nearly every file: no gap, and no stamp out of its place
        return [int(first) for first in joined + _level(shifts, tolerance, first_counts=first_counts)]
    smooth, reach = _smooth(shifts), _reach(lengths, lasting)
    firsts: list[int] = []
    for end in (*_gaps(smooth, tolerance, reach), len(shifts)):
        while len(firsts) < end:
            begin = len(firsts)
            # A drift of the time stamps is followed; fluctuations are not.
            swing = _swing(smooth[begin:end], reach, tolerance)
            drift = smooth[begin:end] if swing <= tolerance else _smooth(shifts[begin:end], 2 * reach + 1)
            apart = np.flatnonzero(np.abs(drift - drift[0]) > max(tolerance, swing))
            until = begin + int(apart[0]) if len(apart) else end
            level = _level(shifts[begin:until], tolerance, first_counts=first_counts)
            firsts += [int(first) for first in joined[begin:until] + level]
    return firsts


def _shifts(stamps: Numbers, lengths: Lengths) -> Numbers:
    """Return the delay of each time stamp against contiguous frames; a gap is a step."""
    shifts = stamps - (np.cumsum(lengths) - lengths)
    if np.isfinite(shifts).all():
        return np.asarray(shifts)
    known = np.flatnonzero(~np.isnan(shifts))
    if not len(known):
        return np.zeros(len(shifts))
    return np.asarray(shifts[known[np.clip(np.searchsorted(known, np.arange(len(shifts)), "right") - 1, 0, None)]])


def _smooth(shifts: Numbers, count: int = _SMOOTHED) -> Numbers:
    """Return the moving median of `count` shifts, without outliers."""
    count = min(count, (len(shifts) - 1) // 2 * 2 + 1)
    if count < _SMOOTHED:
        return shifts
    around = np.pad(shifts, count // 2, mode="reflect")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(around, count), axis=1))


def _reach(lengths: Lengths, lasting: float) -> int:
    """Return the number of frames for which a gap has to last."""
    return max(_SMOOTHED, math.ceil(lasting / max(1.0, float(lengths.mean()))))


def _gaps(shifts: Numbers, tolerance: float, reach: int) -> list[int]:
    """Return the frames that follow a gap: the step between both sides exceeds the fluctuation of each side."""
    steps = np.flatnonzero(np.abs(np.diff(shifts)) > tolerance) + 1
    gaps: list[int] = []
    for step in map(int, steps):
        before, after = shifts[max(0, step - reach) : step], shifts[step : step + reach]
        apart = max(after.min() - before.max(), before.min() - after.max())
        if apart > tolerance and apart > max(_swing(before, reach, tolerance), _swing(after, reach, tolerance)):
            gaps.append(step)
    return gaps


def _swing(shifts: Numbers, reach: int, tolerance: float) -> float:
    """Return how far the shifts go both up and down within the reach; 0 if they only drift, or are constant."""
    if np.ptp(shifts) <= tolerance:
        return 0.0
    around = np.lib.stride_tricks.sliding_window_view(np.pad(shifts, (reach, 0), mode="edge"), reach + 1)
    return float(min((around.max(axis=1) - shifts).max(), (shifts - around.min(axis=1)).max()))


def _level(shifts: Numbers, tolerance: float, *, first_counts: bool) -> int:
    first, rest = shifts[0], shifts[1:] if len(shifts) > 1 else shifts
    alone = not rest.min() - tolerance <= first <= rest.max() + tolerance
    return round(float(np.median(shifts) if alone or not first_counts else first))
