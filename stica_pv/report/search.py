"""Nearest neighbors of test clips by the stored features, and the choice of queries to show."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.evaluation.feature_evaluation import requests_of
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.normalization import process
from stica_pv.evaluation.protocol import FeatureProtocol
from stica_pv.evaluation.protocols.cross_modal import CrossModal
from stica_pv.evaluation.protocols.neighbors import nearest
from stica_pv.evaluation.protocols.requests import request_for_test, request_for_training
from stica_pv.evaluation.protocols.retrieval import Retrieval, averaged_rows
from stica_pv.evaluation.requests import Modality, Requests

OTHER, SAME_CLASS, ITSELF = range(3)
ACROSS: tuple[tuple[Modality, Modality], ...] = (("audio", "video"), ("video", "audio"))
FAILURE_SHARE = 2 / 3  # of the queries to show, if there are enough failures


@dataclass(frozen=True)
class Direction:
    """Direction of a search.

    Attributes:
        query: Modality of the queries.
        gallery: Modality of the gallery.
        in_training: Whether the gallery is the training items; otherwise the test items themselves.
        train: Requests for the training items.
        test: Requests for the test items.
        metric: ``cosine`` or ``euclidean``.
        processing: Normalization of the features.
    """

    query: Modality
    gallery: Modality
    in_training: bool
    train: Requests
    test: Requests
    metric: str
    processing: str

    @property
    def name(self) -> str:
        """Heading of the direction."""
        return f"{self.query} → {self.gallery}"


@dataclass(frozen=True)
class Found:
    """Neighbors of every query.

    Attributes:
        queries: Items of the data set, int64 (Q,).
        neighbors: Nearest items, int64 (Q, k), the nearest first.
        similarity: Similarities (Q, k) by the metric of the direction.
        marks: Mark of each neighbor: `OTHER` class, `SAME_CLASS` or the clip `ITSELF`, int64 (Q, k).
        unreadable: Number of excluded items without features.
    """

    queries: Tensor
    neighbors: Tensor
    similarity: Tensor
    marks: Tensor
    unreadable: int

    @property
    def hits(self) -> Tensor:
        """Whether the nearest neighbor has the class of the query, or is the clip itself: bool (Q,)."""
        return self.marks[:, 0] > OTHER


def directions_of(cfg: CfgNode, models: Sequence[EvaluatedModel]) -> list[tuple[FeatureProtocol, list[Direction]]]:
    """Return the directions that all models have features for, by the protocol whose features they use.

    Test items are searched among training items by TEST.MODALITY, as in `retrieval`, and among themselves across
    modalities, as in `cross_modal`.
    """
    near = Retrieval(
        "retrieval", request_for_training(cfg, average=True), request_for_test(cfg, average=True), "cosine"
    )
    across = CrossModal(cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS, cfg.TEST.TRANSFORM)
    found: list[tuple[FeatureProtocol, list[Direction]]] = []
    own: tuple[tuple[Modality, Modality], ...] = ((near.test.modality, near.test.modality),)
    for protocol, pairs in ((near, own), (across, ACROSS)):
        if all(one.offers(request) for one in models for request in requests_of(protocol)):
            requests = protocol.train_requests(), protocol.test_requests()
            ways = [
                Direction(query, gallery, protocol is near, *requests, "cosine", cfg.TEST.FEATURE_NORM)
                for query, gallery in pairs
            ]
            found.append((protocol, ways))
    return found


def search(direction: Direction, context: EvaluationContext, model: EvaluatedModel, k: int) -> Found:
    """Find the k nearest neighbors of each test item of the first fold, normalized and compared as in the evaluation.

    Args:
        direction: Direction of the search.
        context: Context with the features, which must be extracted already.
        model: Model of the features.
        k: Number of neighbors.
    """
    fold = context.labeled.folds[0]
    train, test = (
        {modality: context.features(model, request, items) for modality, request in requests.items()}
        for requests, items in ((direction.train, fold.train), (direction.test, fold.test))
    )
    train_rows, test_rows = _readable(train), _readable(test)
    unreadable = int((~train_rows).sum() + (~test_rows).sum())
    sides = {
        modality: process(train[modality].rows(train_rows), test[modality].rows(test_rows), direction.processing)
        for modality in {direction.query, direction.gallery}
    }
    queries, items = sides[direction.query][1], fold.test[test_rows]
    gallery = sides[direction.gallery][0 if direction.in_training else 1]
    gallery_items = fold.train[train_rows] if direction.in_training else items
    similarity, indices = nearest(averaged_rows(gallery), averaged_rows(queries), k=k, metric=direction.metric)
    found = gallery_items[indices]
    marks = _same_class(queries.labels, gallery.labels[indices]).long() * SAME_CLASS
    marks[found == items.unsqueeze(1)] = ITSELF
    return Found(items, found, similarity, marks, unreadable)


def queries_to_show(found: Found, count: int) -> Tensor:
    """Choose queries to show: failures first, the most confident first, then some that are correct.

    Args:
        found: Neighbors of all queries.
        count: Maximum number of queries.

    Returns:
        int64 (count,), rows of `found`.
    """
    order = found.similarity[:, 0].argsort(descending=True, stable=True)
    wrong, right = order[~found.hits[order]], order[found.hits[order]]
    failures = min(len(wrong), max(count - len(right), round(FAILURE_SHARE * count)))
    successes = min(len(right), count - failures)
    spread = torch.linspace(0, max(0, len(right) - 1), successes).round().long()
    return torch.cat([wrong[:failures], right[spread]])


def spread_queries(classes: Sequence[str], count: int) -> list[int]:
    """Choose queries evenly over the list sorted by class.

    Args:
        classes: Class of each query.
        count: Maximum number of queries.
    """
    order = sorted(range(len(classes)), key=lambda row: (classes[row], row))
    count = min(count, len(order))
    return [order[(2 * number + 1) * len(order) // (2 * count)] for number in range(count)]


def _readable(sets: dict[Modality, FeatureSet]) -> Tensor:
    masks = [~items.features.isnan().flatten(1).any(dim=1) for items in sets.values()]
    return torch.stack(masks).all(dim=0)


def _same_class(labels: Tensor, others: Tensor) -> Tensor:
    """Return whether items (Q,) share a class with others (Q, k); multi-label: (Q, classes) and (Q, k, classes)."""
    if labels.ndim == 1:
        return labels.unsqueeze(1) == others
    return (labels.unsqueeze(1) & others).any(dim=-1)
