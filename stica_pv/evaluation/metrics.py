"""What a protocol says of the test items: a number, and how it moves when other sources had been drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stica_pv.keyed_random import generator

CHUNK_ELEMENTS = 2**24  # weights of draws × items that are held at a time


@dataclass(frozen=True)
class Metric:
    """One score over the test items.

    Attributes:
        name: As it stands in the results: ``R@1``, ``top1``, ``mAP``.
        statistic: Maps float64 weights (R, V), how often each test item counts in each of R draws, to the scores
            float64 (R,): in % unless the name says else.
        items: Number of test items V.
        paired_with: Name of the metric that this one belongs to, such as the mean of a deviation: where the best of
            several models is shown, both are of the same one. Empty: it stands for itself.
    """

    name: str
    statistic: Callable[[Tensor], Tensor]
    items: int
    paired_with: str = ""

    @property
    def value(self) -> float:
        """The score over every test item once."""
        return float(self.statistic(torch.ones(1, self.items, dtype=torch.float64)))


def mean_metric(name: str, per_item: Tensor) -> Metric:
    """Returns the mean over test items of `per_item` (V,), which holds e.g. 100 for a hit and 0 for a miss."""
    values = per_item.double()
    return Metric(name, lambda weights: weights @ values / weights.sum(dim=1), len(values))


def pooled(metrics: Sequence[Metric]) -> Metric:
    """Joins the same measure of several folds: its items are theirs in turn, its score is the mean over the folds.

    A draw that leaves a fold without items takes the mean over the others.
    """
    lengths = [metric.items for metric in metrics]

    def statistic(weights: Tensor) -> Tensor:
        scores = [m.statistic(part) for m, part in zip(metrics, weights.split(lengths, dim=1), strict=True)]
        return torch.stack(scores).nanmean(dim=0)

    return replace(metrics[0], statistic=statistic, items=sum(lengths))


def bootstrap_interval(
    metric: Metric, groups: Tensor, *, seed: int, draws: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval: groups are resampled, not items, as siblings are not independent.

    Args:
        metric: The score.
        groups: int64 (V,), the source of each test item.
        seed: Of the draws, which are the same for every measure over the same groups.
        draws: How often the test set is drawn anew.
        level: Share of the draws that lie within.
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
