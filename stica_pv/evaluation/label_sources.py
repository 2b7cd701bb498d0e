"""Scores split by the modality that labels were made from: audio, video or both (TEST.LABEL_SOURCES).

Audio helps where labels were made from both modalities, and hurts where they were made from video alone
(arXiv 2606.14958); one mean over all classes hides this.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stica_pv.data.sources.label_sources import LABEL_SOURCES
from stica_pv.evaluation.metrics import Metric


def split_by_source(metrics: Sequence[Metric], labels: Tensor, sources: Sequence[str]) -> list[tuple[Metric, Tensor]]:
    """Return each metric, and behind it the same for the test items whose labels are from audio, video and both.

    Nothing is scored anew: the classifier or the gallery still has all classes. Sources without a test item are left
    out. A metric over classes (mAP of several labels) is restricted to the classes of a source, over all items; any
    other to the items whose classes all have that source.

    Args:
        metrics: Metrics over V test items.
        labels: int64 (V,), or bool (V, classes).
        sources: Source of each class, "" if it is unknown; empty: nothing is split.

    Returns:
        Pairs of a metric and the rows of its items, int64 (V',).
    """
    all_rows = torch.arange(len(labels))
    parts = [(source, *_members(labels, sources, source)) for source in LABEL_SOURCES] if sources else []
    found = []
    for metric in metrics:
        found.append((metric, all_rows))
        for source, classes, rows in parts:
            name = f"{metric.name}, labels from {source}"
            lead = f"{metric.paired_with or metric.name}"
            if metric.of_classes is not None:
                if bool(classes.any()):
                    found.append((replace(metric.of_classes(classes), name=name, paired_with=lead), all_rows))
            elif len(rows):
                found.append((replace(restricted(metric, rows), name=name, paired_with=lead), rows))
    return found


def restricted(metric: Metric, rows: Tensor) -> Metric:
    """Return a metric over some of its items, int64 (V',): the others have no weight."""

    def statistic(weights: Tensor) -> Tensor:
        everywhere = weights.new_zeros(len(weights), metric.items)
        everywhere[:, rows] = weights
        return metric.statistic(everywhere)

    return replace(metric, statistic=statistic, items=len(rows))


def _members(labels: Tensor, sources: Sequence[str], source: str) -> tuple[Tensor, Tensor]:
    """Return the mask of the classes of a source, and the rows of the items all of whose classes are among them."""
    classes = torch.tensor([own == source for own in sources])
    if labels.ndim == 1:
        return classes, classes[labels].nonzero()[:, 0]
    others = labels & ~classes
    return classes, (labels.any(dim=1) & ~others.any(dim=1)).nonzero()[:, 0]
