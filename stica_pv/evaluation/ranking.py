"""Metrics of class scores: top-k accuracy, and for multi-label items mAP, AUC and d'."""

import math
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from stica_pv.evaluation.metrics import Metric, mean_metric

TOP = (1, 5)


def top_k_metrics(scores: Tensor, labels: Tensor, *, prefix: str = "") -> list[Metric]:
    """Return top-1 accuracy in %, and top-5 if there are more than five classes.

    Args:
        scores: (V, classes), larger is more likely.
        labels: int64 (V,).
        prefix: Prefix of the names.
    """
    return [
        mean_metric(f"{prefix}top{k}", 100.0 * top_k_hits(scores, labels, k))
        for k in TOP
        if k == 1 or k < scores.shape[1]
    ]


def top_k_hits(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Return whether the true class is among the k best: bool (V,). Ties are resolved in class order.

    Raises:
        ValueError: A score is NaN.
    """
    if scores.isnan().any():
        raise ValueError(f"{int(scores.isnan().any(dim=1).sum())} of {len(scores)} items have NaN scores")
    best = scores.argsort(dim=1, descending=True, stable=True)[:, :k]
    return (best == labels.unsqueeze(1)).any(dim=1)


@dataclass(frozen=True)
class _Positives:
    """The P pairs of a class and a positive item, by class and falling score.

    Attributes:
        order: Items of each class by falling score, int64 (classes, V).
        label: Class of each pair, int64 (P,), ascending.
        item: Item of each pair.
        first: Rank, in its class, of the first item with the same score.
        last: Rank of the last one.
        before: Number of pairs before those of the same score, earlier classes included.
        through: Number of pairs up to and including those of the same score.
        start: Number of pairs in earlier classes, int64 (classes + 1,).
    """

    order: Tensor
    label: Tensor
    item: Tensor
    first: Tensor
    last: Tensor
    before: Tensor
    through: Tensor
    start: Tensor


class LabelRanking:
    """Items ranked for each class, so that weighted mAP and AUC of many resamples are sums along the ranks.

    Ties are grouped, as in scikit-learn. Classes without a positive item in a resample (for AUC also without a negative
    one) are excluded from its mean.

    Args:
        scores: (V, classes).
        labels: bool (V, classes), multi-label.
    """

    def __init__(self, scores: Tensor, labels: Tensor) -> None:
        if scores.isnan().any():
            raise ValueError("scores must be numbers, got nan")
        self._scores, self._labels = scores.mT, labels.mT

    def average_precision(self, weights: Tensor) -> Tensor:
        """Return the mean over classes of average precision in %: float64 weights (R, V) -> (R,)."""
        return torch.stack([self._average_precision(row).nanmean() for row in weights])

    def auc(self, weights: Tensor) -> Tensor:
        """Return the mean over classes of the area under the ROC curve in %: float64 weights (R, V) -> (R,)."""
        return torch.stack([self._auc(row).nanmean() for row in weights])

    def d_prime(self, weights: Tensor) -> Tensor:
        """Return √2 Φ⁻¹(mean AUC), not in %: float64 weights (R, V) -> (R,) (Gemmeke et al., ICASSP 2017)."""
        return math.sqrt(2) * torch.special.ndtri(self.auc(weights) / 100)

    def metrics(self) -> list[Metric]:
        """Return the metrics mAP, AUC (%) and d_prime."""
        scores = {"mAP": self.average_precision, "AUC": self.auc, "d_prime": self.d_prime}
        return [
            Metric(name, statistic, self._labels.shape[1], of_classes=partial(self._metric_of_classes, name))
            for name, statistic in scores.items()
        ]

    def _metric_of_classes(self, name: str, chosen: Tensor) -> Metric:
        """Return a metric over the chosen classes, mask (classes,), which may have more classes than the scores."""
        kept = chosen[: len(self._scores)]
        part = LabelRanking(self._scores[kept].mT, self._labels[kept].mT)
        return next(metric for metric in part.metrics() if metric.name == name)

    @cached_property
    def _positives(self) -> _Positives:
        ranked, order = self._scores.sort(dim=1, descending=True, stable=True)
        changes = ranked[:, 1:] != ranked[:, :-1]
        edge = torch.ones(len(ranked), 1, dtype=torch.bool)
        ranks = torch.arange(ranked.shape[1]).expand_as(ranked)
        first = torch.where(torch.cat([edge, changes], dim=1), ranks, 0).cummax(dim=1).values
        last = torch.where(torch.cat([changes, edge], dim=1), ranks, ranked.shape[1])
        last = last.flip(1).cummin(dim=1).values.flip(1)
        positive = self._labels.gather(1, order)
        label, rank = positive.nonzero(as_tuple=True)
        first, last, passed = first[label, rank], last[label, rank], positive.cumsum(dim=1)
        start = torch.nn.functional.pad(passed[:, -1].cumsum(dim=0), (1, 0))
        through = start[label] + passed[label, last]
        before = start[label] + passed[label, first] - positive[label, first].long()
        return _Positives(order, label, order[label, rank], first, last, before, through, start)

    def _average_precision(self, weights: Tensor) -> Tensor:
        p = self._positives
        items, pairs = weights[p.order].cumsum(dim=1), _sums(weights[p.item])
        found = pairs[p.through] - pairs[p.start[p.label]]
        precision = found / items[p.label, p.last].clamp(min=1e-12)
        return 100 * self._by_class(weights[p.item] * precision) / pairs[p.start].diff()

    def _auc(self, weights: Tensor) -> Tensor:
        p = self._positives
        items, pairs = _sums(weights[p.order]), _sums(weights[p.item])
        positives = pairs[p.start].diff()
        negatives = weights.sum() - positives
        above = items[p.label, p.first] - (pairs[p.before] - pairs[p.start[p.label]])
        through = items[p.label, p.last + 1] - (pairs[p.through] - pairs[p.start[p.label]])
        outranked = negatives[p.label] - (above + through) / 2  # ties count half
        return 100 * self._by_class(weights[p.item] * outranked) / (positives * negatives)

    def _by_class(self, values: Tensor) -> Tensor:
        return values.new_zeros(len(self._labels)).index_add_(0, self._positives.label, values)


def _sums(values: Tensor) -> Tensor:
    """Return the sums of the first 0, 1, 2, … values along the last axis."""
    return torch.nn.functional.pad(values.cumsum(dim=-1), (1, 0))
