"""Limits of the values of a key; a key declares them, see `stica_pv.config.keys`."""

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """Bounds of a number (or of each number in a list), or the allowed values of a text.

    Attributes:
        low: Smallest value.
        high: Largest value.
        above: The value must be larger than this.
        count: Length of a list.
        ordered: Whether a list must be in ascending order.
        or_empty: Whether a list may be empty, whatever its length should be.
        choices: Allowed texts.
    """

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    count: int | None = None
    ordered: bool = False
    or_empty: bool = False
    choices: tuple[str, ...] = ()

    def expectation(self) -> str:
        """Describes the allowed values; empty if all are."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        parts = [f"above {self.above:g}"] if self.above > -math.inf else []
        parts += [f"at least {self.low:g}"] if self.low > -math.inf else []
        parts += [f"at most {self.high:g}"] if self.high < math.inf else []
        numbers = " and ".join(parts)
        if self.count is None:
            return numbers
        each = f", each {numbers}" if numbers else ""
        return f"{self.count} numbers{each}{', in ascending order' * self.ordered}{', or []' * self.or_empty}"

    def allow(self, value: Any) -> bool:
        """Whether a number or a list of numbers is within the limits."""
        if isinstance(value, list):
            return (self.or_empty and not value) or (
                self.count in (None, len(value))
                and all(self._allow_one(item) for item in value)
                and (not self.ordered or value == sorted(value))
            )
        return self._allow_one(value)

    def _allow_one(self, value: Any) -> bool:
        return isinstance(value, (int, float)) and self.low <= value <= self.high and value > self.above


POSITIVE = Limits(above=0)
NOT_NEGATIVE = Limits(low=0)
AT_LEAST_ONE = Limits(low=1)
SHARE = Limits(low=0, high=1)


def one_of(*choices: str) -> Limits:
    """Returns limits that allow only some texts."""
    return Limits(choices=choices)
