"""Limits of values: each component declares them with its keys, and all are checked before a run."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stica_pv.config.node import CfgNode, flatten
from stica_pv.errors import UsageError, check_choice


@dataclass(frozen=True)
class Limits:
    """Bounds of a number (or of each number in a list), or the allowed values of a text.

    Attributes:
        low: Smallest value.
        high: Largest value.
        above: The value must be larger than this.
        count: Length of a list.
        ordered: Whether a list must be in ascending order.
        choices: Allowed texts.
    """

    low: float = -math.inf
    high: float = math.inf
    above: float = -math.inf
    count: int | None = None
    ordered: bool = False
    choices: tuple[str, ...] = ()

    def expectation(self) -> str:
        """Describes the allowed values."""
        parts = [f"above {self.above:g}"] if self.above > -math.inf else []
        parts += [f"at least {self.low:g}"] if self.low > -math.inf else []
        parts += [f"at most {self.high:g}"] if self.high < math.inf else []
        numbers = " and ".join(parts)
        if self.count is None:
            return numbers
        return f"{self.count} numbers{', each ' if numbers else ''}{numbers}{', in ascending order' * self.ordered}"

    def allow(self, value: Any) -> bool:
        """Whether a number or a list of numbers is within the limits."""
        if isinstance(value, list):
            return (
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


_DECLARED: dict[str, Limits] = {}


def declare_limits(limits: Mapping[str, Limits]) -> None:
    """Declares the limits of keys; a component calls it where it declares its keys."""
    _DECLARED.update(limits)


def declared_limits() -> Mapping[str, Limits]:
    """Returns the limits of all keys whose components are imported."""
    return _DECLARED


def check_limits(cfg: CfgNode) -> None:
    """Checks every number and text of a configuration.

    Raises:
        UsageError: A number is not finite, or a value is outside its limits; the message names the key.
    """
    for key, value in flatten(cfg):
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, float) and not math.isfinite(item) for item in items):
            raise UsageError(f"{key}: got {value}, expected a finite number")
        limit = _DECLARED.get(key)
        if limit is None:
            continue
        if limit.choices:
            check_choice(key, value, limit.choices)
        elif not limit.allow(value):
            raise UsageError(f"{key}: got {value}, expected {limit.expectation()}")
