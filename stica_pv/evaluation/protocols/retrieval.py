"""Retrieval of training items by test items, and kNN, without training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric, mean_metric
from stica_pv.evaluation.protocols.neighbors import RECALLS, average_precisions, class_votes, nearest, recall_hits
from stica_pv.evaluation.protocols.one_modality import OneModality
from stica_pv.evaluation.protocols.requests import describe_views
from stica_pv.evaluation.ranking import top_k_metrics
from stica_pv.evaluation.requests import FeatureRequest


@dataclass(frozen=True)
class Retrieval(OneModality):
    """R@k and mAP of test items among training items.

    Attributes:
        evaluation: Registered name.
        train: Views of the gallery, averaged.
        test: Views of the queries, averaged.
        metric: ``cosine``: the mean over views of unit vectors is normalized again; ``euclidean``: not (SeLaVi).
    """

    evaluation: str
    train: FeatureRequest
    test: FeatureRequest
    metric: str
    processed: bool = True
    compares_modalities: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Exact name of the protocol."""
        how = "L2 -> mean -> L2, cosine" if self.metric == "cosine" else "L2 -> mean, euclidean"
        return f"{self.evaluation} ({describe_views(self.train, self.test)}, {how})"

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        """Return R@1 to R@50, mAP over queries, and mAP by class: over the queries of a class, then classes."""
        gallery, queries = self.single_label_sets(train, test, self.evaluation)
        rows, wanted = averaged_rows(gallery), averaged_rows(queries)
        _, indices = nearest(rows, wanted, k=max(RECALLS), metric=self.metric)
        hits = recall_hits(gallery.labels[indices] == queries.labels.unsqueeze(1), RECALLS)
        precisions = 100 * average_precisions(rows, gallery.labels, wanted, queries.labels, metric=self.metric)
        return [
            *(mean_metric(f"R@{k}", 100.0 * found) for k, found in hits.items()),
            mean_metric("mAP", precisions),
            class_mean_metric("mAP by class", precisions, queries.labels),
        ]


@dataclass(frozen=True)
class Knn(OneModality):
    """Accuracy of the vote of the nearest training items by cosine similarity.

    Attributes:
        train: Views of the gallery, averaged.
        test: Views of the queries, averaged.
        k: Number of neighbors.
        votes: ``weighted`` or ``plain``, see `class_votes`.
    """

    train: FeatureRequest
    test: FeatureRequest
    k: int
    votes: str
    processed: bool = True
    compares_modalities: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """Exact name of the protocol."""
        return (
            f"knn ({describe_views(self.train, self.test)}, L2 -> mean -> L2, cosine, k {self.k}, {self.votes} votes)"
        )

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        """Return top1 and top5."""
        gallery, queries = self.single_label_sets(train, test, "knn")
        similarity, indices = nearest(averaged_rows(gallery), averaged_rows(queries), k=self.k, metric="cosine")
        classes = int(gallery.labels.max()) + 1
        votes = class_votes(similarity, gallery.labels[indices], classes=classes, votes=self.votes)
        return top_k_metrics(votes, queries.labels)


def averaged_rows(items: FeatureSet) -> Tensor:
    """Return the rows (V, D) of features that were averaged over views in extraction.

    Raises:
        ValueError: They were not averaged; averaging here without unit length would be another protocol.
    """
    if items.features.shape[1] != 1:
        raise ValueError(f"expected the mean over views (V, 1, D), got {tuple(items.features.shape)}")
    return items.features[:, 0]


def class_mean_metric(name: str, per_item: Tensor, labels: Tensor) -> Metric:
    """Return the mean over classes of the mean over their items of `per_item` (V,); empty classes do not count."""
    values, (_, members) = per_item.double(), labels.unique(return_inverse=True)

    def statistic(weights: Tensor) -> Tensor:
        shape = len(weights), int(members.max()) + 1
        index = members.expand_as(weights)
        sums = weights.new_zeros(shape).scatter_add_(1, index, weights * values)
        return (sums / weights.new_zeros(shape).scatter_add_(1, index, weights)).nanmean(dim=1)

    return Metric(name, statistic, len(values))
