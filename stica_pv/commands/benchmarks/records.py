"""Results of the benchmarks: rows of one layout, as a Markdown table and as JSON.

A row holds a figure and, measured in the same run by turns with it, the figure of what it is compared with.
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

WIDE = 0.2
"""Spread of a ratio relative to its median, above which a row is called noisy."""

COLUMNS = ("what", "figure", "compared with", "its figure", "ratio", "target", "physical limit")
RULE = "|" + "---|" * len(COLUMNS)


@dataclass(frozen=True)
class Spread:
    """Several measurements of one quantity.

    Attributes:
        median: Median of the values.
        low: First quartile.
        high: Third quartile.
        count: Number of values.
    """

    median: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        """Returns median and quartiles of at least one value; a single value is all three."""
        if not values:
            raise ValueError("a figure needs at least one measurement")
        if len(values) == 1:
            return Spread(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return Spread(median, low, high, len(values))

    @property
    def width(self) -> float:
        """Returns the distance of the quartiles relative to the median."""
        return (self.high - self.low) / abs(self.median) if self.median else 0.0

    def __str__(self) -> str:
        if self.count == 1 or self.low == self.high:
            return number(self.median)
        return f"{number(self.median)} ({number(self.low)}–{number(self.high)})"


@dataclass(frozen=True)
class Target:
    """Target of a row.

    Attributes:
        of: The ratio (figure ÷ comparison) or the figure itself.
        sign: Whether it should be at most or at least the value.
        value: The bound.
    """

    of: Literal["ratio", "figure"]
    sign: Literal["<=", ">="]
    value: float

    def __str__(self) -> str:
        return f"{self.of} {'≤' if self.sign == '<=' else '≥'} {number(self.value)}"


@dataclass(frozen=True)
class Limit:
    """Best possible value on the machine, measured or counted.

    Attributes:
        what: Bound of the figure.
        value: The bound, in the unit of the figure.
    """

    what: str
    value: float


@dataclass(frozen=True)
class Row:
    """One figure with its comparison.

    Attributes:
        name: Measured quantity.
        unit: Unit of figure, comparison and limit.
        figure: Value of this project.
        against: Subject of the comparison; empty: none.
        comparison: Figure of that.
        ratio: Figure ÷ comparison, from the pairs that were measured next to each other.
        target: Target of the row.
        limit: Best possible value of the machine.
        note: Remark on the figures.
    """

    name: str
    unit: str
    figure: Spread
    against: str = ""
    comparison: Spread | None = None
    ratio: Spread | None = None
    target: Target | None = None
    limit: Limit | None = None
    note: str = ""

    @staticmethod
    def single(name: str, unit: str, values: Sequence[float], **more: Any) -> "Row":
        """Returns a row without comparison."""
        return Row(name, unit, Spread.of(values), **more)

    @staticmethod
    def paired(
        name: str, unit: str, values: Sequence[float], against: str, others: Sequence[float], **more: Any
    ) -> "Row":
        """Returns a row of alternate measurements: `values[i]` next to `others[i]`."""
        ratios = [value / other if other else math.inf for value, other in zip(values, others, strict=True)]
        return Row(name, unit, Spread.of(values), against, Spread.of(others), Spread.of(ratios), **more)

    @property
    def reached(self) -> bool | None:
        """Returns whether the median reaches the target; None without one."""
        if self.target is None:
            return None
        measured = self.ratio if self.target.of == "ratio" else self.figure
        if measured is None:
            raise ValueError(f"{self.name}: a target of the ratio needs a comparison")
        return (
            measured.median <= self.target.value if self.target.sign == "<=" else measured.median >= self.target.value
        )

    def cells(self) -> tuple[str, ...]:
        """Returns the texts of a table row, in the order of `COLUMNS`."""
        target = f"{self.target}: {'reached' if self.reached else 'MISSED'}" if self.target else ""
        limit = f"{self.limit.what}: {number(self.limit.value)} {self.unit}" if self.limit else ""
        figures = (f"{one} {self.unit}" if one is not None else "" for one in (self.figure, self.comparison))
        figure, comparison = figures
        return self.name, figure, self.against, comparison, str(self.ratio or ""), target, limit

    def as_line(self) -> str:
        """Returns a row of a Markdown table."""
        return f"| {' | '.join(self.cells())} |"

    def as_json(self) -> dict[str, Any]:
        """Returns plain values."""
        return {**dataclasses.asdict(self), "reached": self.reached}


def header() -> str:
    """Returns the first two lines of the table."""
    return f"| {' | '.join(COLUMNS)} |\n{RULE}"


def noisy(rows: Sequence[Row]) -> list[str]:
    """Returns warnings about rows whose spread is too large for conclusions."""
    found = []
    for row in rows:
        width = (row.ratio or row.figure).width
        if width > WIDE and row.unit:  # a count or an exponent may be 0, so a relative spread is meaningless
            found.append(f"{row.name}: the middle half of its measurements spreads over {width:.0%} of the median")
    return found


def number(value: float) -> str:
    """Returns three significant digits, without an exponent at usual sizes."""
    if not math.isfinite(value) or value == 0:
        return str(value)
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}" if digits < 8 else f"{value:.2e}"
