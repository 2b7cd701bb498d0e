"""Ranges of metrics that a recipe states, so that a run can say whether its results are as expected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stica_pv.errors import UsageError


@dataclass(frozen=True)
class ExpectedRange:
    """A range of one metric.

    Attributes:
        metric: Name in results.json.
        low: Smallest expected value.
        high: Largest expected value.
    """

    metric: str
    low: float
    high: float

    def compare(self, numbers: Mapping[str, float]) -> str:
        """Returns one line about the result of a run."""
        text = f"expected of this recipe: {self.metric} {self.low:g} to {self.high:g}; this run has"
        value = numbers.get(self.metric)
        if value is None:
            return f"{text} not evaluated it"
        inside = self.low <= value <= self.high
        return f"{text} {value:.1f}{'' if inside else ', outside: see which keys or versions differ from the recipe'}"


def expected_ranges(texts: Sequence[str]) -> list[ExpectedRange]:
    """Reads the texts of TEST.EXPECTED, each ``metric low high``.

    Raises:
        UsageError: A text has another form.
    """
    found = []
    for text in texts:
        try:
            metric, low, high = text.rsplit(maxsplit=2)
            found.append(ExpectedRange(metric, float(low), float(high)))
        except ValueError:
            raise UsageError(f"TEST.EXPECTED: expected 'metric low high' in each text, got {text!r}") from None
    return found
