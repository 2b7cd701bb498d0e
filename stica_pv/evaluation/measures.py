"""What a protocol says of the test items: a number, and how it moves when other sources had been drawn."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.keyed_random import generator


@dataclass(frozen=True)
class Measure:
    """One score over the test items.

    Attributes:
        name: As it stands in the results: ``R@1``, ``top1``, ``mAP``.
        statistic: Maps int64 indices of test items, drawn with repetition, to the score in its unit (% unless the name says else).
        items: Number of test items.
    """

    name: str
    statistic: Callable[[Tensor], float]
    items: int

    @property
    def value(self) -> float:
        """The score over every test item once."""
        return self.statistic(torch.arange(self.items))


def mean_measure(name: str, per_item: Tensor) -> Measure:
    """Returns the mean over test items of `per_item` (V,), which holds e.g. 100 for a hit and 0 for a miss."""
    values = per_item.double()
    return Measure(name, lambda indices: float(values[indices].mean()), len(values))


def bootstrap_interval(
    measure: Measure, groups: Tensor, *, seed: int, draws: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of a measure; groups are resampled, not items: siblings are not independent.

    Args:
        measure: The score.
        groups: int64 (V,), the source of each test item.
        seed: Of the draws.
        draws: How often the test set is drawn anew.
        level: Share of the draws that lie within.
    """
    names, members = groups.unique(return_inverse=True)
    order = members.argsort(stable=True)
    parts = order.split(members.bincount(minlength=len(names)).tolist())
    rng = generator("bootstrap", seed, measure.name)
    values = torch.empty(draws, dtype=torch.float64)
    for draw in range(draws):
        drawn = torch.randint(len(parts), (len(parts),), generator=rng)
        values[draw] = measure.statistic(torch.cat([parts[i] for i in drawn.tolist()]))
    tail = (1 - level) / 2
    low, high = values.quantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high
