"""Axes of charts: ranges, ticks at round numbers, and numbers as short texts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

STEPS = (1, 2, 5, 10)
INTERVALS = 4  # between ticks, about


@dataclass(frozen=True)
class Scale:
    """Range of an axis and its ticks, ascending."""

    low: float
    high: float
    ticks: tuple[float, ...]


def scale_of(
    values: Sequence[float], *, tight: bool = False, limits: tuple[float, float] = (-math.inf, math.inf)
) -> Scale:
    """Choose the range and ticks of an axis.

    Args:
        values: Finite values to show; none gives 0 to 1.
        tight: Whether the axis ends at the extreme values; otherwise at the ticks around them.
        limits: Values that the axis does not exceed unless `values` do.
    """
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high)):  # one value: make space around it
        space = abs(low) / 2 or 0.5
        low, high = max(low - space, min(low, limits[0])), min(high + space, max(high, limits[1]))
    step = _step((high - low) / INTERVALS)
    first, last = (math.ceil(low / step), math.floor(high / step)) if tight else _around(low, high, step)
    ticks = tuple(round(number * step, 12) for number in range(first, last + 1))
    return Scale(low, high, ticks) if tight else Scale(ticks[0], ticks[-1], ticks)


def position(value: float, scale: Scale, units: int) -> int:
    """Return the place of a value on an axis of `units` units."""
    return round(units * (value - scale.low) / (scale.high - scale.low))


def decimals_of(value: float) -> int:
    """Return the number of decimals of a number as `short_number` shows it."""
    text = short_number(value)
    return 0 if "e" in text else len(text.partition(".")[2])


def short_number(value: float, decimals: int = 0) -> str:
    """Return a number with at most four digits, without trailing zeros.

    Args:
        value: The number.
        decimals: Least number of decimals, so that the ticks of an axis are alike.
    """
    if abs(value) < 1e-12:
        return "0"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    if digits > 7 or abs(value) >= 1e6:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    text = f"{value:.{digits}f}"
    if "." in text:
        kept = max(len(text.rstrip("0").partition(".")[2]), decimals)
        text = f"{value:.{kept}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def _around(low: float, high: float, step: float) -> tuple[int, int]:
    return math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)


def _step(wanted: float) -> float:
    """Return the round number at or above a step."""
    power = 10.0 ** math.floor(math.log10(wanted))
    return next(power * factor for factor in STEPS if power * factor >= wanted * (1 - 1e-9))
