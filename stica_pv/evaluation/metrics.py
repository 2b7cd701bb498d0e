"""Metrics over test items, and their bootstrap intervals over sources."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stica_pv.keyed_random import generator

CHUNK_ELEMENTS = 2**24  # draws × items in memory at a time


@dataclass(frozen=True)
class Metric:
    """One score over the test items.

    Attributes:
        name: Name in the results: ``R@1``, ``top1``, ``mAP``.
        statistic: Maps float64 weights (R, V), the count of each test item in each of R resamples, to scores float64
            (R,), in % unless named otherwise.
        items: Number of test items V.
        paired_with: Name of the metric that this one belongs to, such as the mean of a deviation: the best of several
            models is chosen for both together. Empty: none.
        of_classes: Returns the same metric over some classes, mask (classes,), where it is a mean over classes of all
            items; else None.
    """

    name: str
    statistic: Callable[[Tensor], Tensor]
    items: int
    paired_with: str = ""
    of_classes: Callable[[Tensor], "Metric"] | None = None

    @property
    def value(self) -> float:
        """Score with every test item counted once."""
        return float(self.statistic(torch.ones(1, self.items, dtype=torch.float64)))


def mean_metric(name: str, per_item: Tensor) -> Metric:
    """Return the mean over test items of `per_item` (V,), e.g. 100 for a hit and 0 for a miss."""
    values = per_item.double()
    return Metric(name, lambda weights: weights @ values / weights.sum(dim=1), len(values))


def pooled(metrics: Sequence[Metric]) -> Metric:
    """Join the same metric of several folds: the items are concatenated, the score is the mean over the folds.

    A resample that leaves a fold without items uses the mean over the others.
    """
    lengths = [metric.items for metric in metrics]

    def statistic(weights: Tensor) -> Tensor:
        scores = [m.statistic(part) for m, part in zip(metrics, weights.split(lengths, dim=1), strict=True)]
        return torch.stack(scores).nanmean(dim=0)

    return replace(metrics[0], statistic=statistic, items=sum(lengths))


def bootstrap_interval(
    metric: Metric, groups: Tensor, *, seed: int, draws: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Return the percentile bootstrap interval; groups are resampled, since items of a source are not independent.

    Args:
        metric: Metric.
        groups: int64 (V,), source of each test item.
        seed: Seed of the resamples, which are equal for all metrics over the same groups.
        draws: Number of resamples.
        level: Coverage of the interval.
    """
    names, members = groups.unique(return_inverse=True)
    rng = generator("bootstrap", seed)
    values = []
    for size in _chunks(draws, CHUNK_ELEMENTS // max(1, len(groups))):
        drawn = torch.randint(len(names), (size, len(names)), generator=rng)
        counts = torch.zeros(size, len(names), dtype=torch.float64).scatter_add_(
            1, drawn, torch.ones(1, 1, dtype=torch.float64).expand(drawn.shape)
        )
        values.append(metric.statistic(counts[:, members]))
    tail = (1 - level) / 2
    low, high = torch.cat(values).nanquantile(torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return low, high


def _chunks(total: int, size: int) -> list[int]:
    size = max(1, size)
    return [min(size, total - start) for start in range(0, total, size)]
