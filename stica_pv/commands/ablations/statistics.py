"""Means of few runs, and differences of paired runs, with 95 % t-intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval.

    Attributes:
        mean: Mean of the values.
        low: Lower bound of the 95 % t-interval; nan for a single value.
        high: Upper bound.
        count: Number of values.
    """

    mean: float
    low: float
    high: float
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Returns whether the interval excludes zero."""
        return self.low > 0 or self.high < 0

    def text(self) -> str:
        """Returns ``mean [low, high]``, or the mean alone for a single value."""
        if self.count == 1:
            return f"{self.mean:.1f}"
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"


def estimate(values: Sequence[float]) -> Estimate:
    """Returns the mean of independent values with its t-interval.

    Raises:
        ValueError: There is no value.
    """
    if not values:
        raise ValueError("the mean of no values")
    count, mean = len(values), float(np.mean(values))
    if count == 1:
        return Estimate(mean, math.nan, math.nan, 1)
    half = float(student.ppf(0.5 + LEVEL / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count))
    return Estimate(mean, mean - half, mean + half, count)


def paired(above: dict[str, float], below: dict[str, float]) -> Estimate | None:
    """Returns the mean difference over the replicates that both have, None if there is none."""
    both = [name for name in above if name in below]
    return estimate([above[name] - below[name] for name in both]) if both else None
