"""Nearest neighbors of test clips by the features that evaluation keeps, and which queries are worth a look."""

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
FAILURE_SHARE = 2 / 3  # of the queries that are shown, if there are as many failures


@dataclass(frozen=True)
class Direction:
    """What is looked for among what.

    Attributes:
        query: Modality of the queries.
        gallery: Modality of what is found.
        in_training: Found among the training items; otherwise among the test items themselves.
        train: What is asked of the training items.
        test: What is asked of the test items.
        metric: ``cosine`` or ``euclidean``.
        processing: Of the features.
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
        """As a heading says it."""
        words = {"video": "images", "audio": "audio"}
        return f"{words[self.query]} → {words[self.gallery]}"


@dataclass(frozen=True)
class Found:
    """What every query finds.

    Attributes:
        queries: Items of the data set, int64 (Q,).
        neighbors: The nearest items, int64 (Q, k), the nearest first.
        similarity: Cosines (Q, k), or what the metric of the direction gives.
        marks: Of each neighbor: `OTHER` class, `SAME_CLASS` or the clip `ITSELF`, int64 (Q, k).
        unreadable: Number of items without features, left out.
    """

    queries: Tensor
    neighbors: Tensor
    similarity: Tensor
    marks: Tensor
    unreadable: int

    @property
    def hits(self) -> Tensor:
        """Whether the nearest is of the class of the query, or the clip itself: bool (Q,)."""
        return self.marks[:, 0] > OTHER


def directions_of(cfg: CfgNode, models: Sequence[EvaluatedModel]) -> list[tuple[FeatureProtocol, list[Direction]]]:
    """Returns the searches that all models have the features for, by the protocol whose features they use.

    These are test items among training items by TEST.MODALITY, as `retrieval` does, and among themselves from one
    modality to the other, as `cross_modal` does.
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
    """Finds the k nearest of each test item of the first fold, processed and compared as in the evaluation.

    Args:
        direction: What is looked for.
        context: Has the features, which were made before.
        model: Whose they are.
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
    similarity, places = nearest(averaged_rows(gallery), averaged_rows(queries), k=k, metric=direction.metric)
    found = gallery_items[places]
    marks = _same_class(queries.labels, gallery.labels[places]).long() * SAME_CLASS
    marks[found == items.unsqueeze(1)] = ITSELF
    return Found(items, found, similarity, marks, unreadable)


def worth_a_look(found: Found, count: int) -> Tensor:
    """Chooses queries to show: failures first, the surest of them first, then some that are right.

    Args:
        found: What all queries found.
        count: How many to choose, at most.

    Returns:
        int64 (count,), rows of `found`.
    """
    order = found.similarity[:, 0].argsort(descending=True, stable=True)
    wrong, right = order[~found.hits[order]], order[found.hits[order]]
    failures = min(len(wrong), max(count - len(right), round(FAILURE_SHARE * count)))
    successes = min(len(right), count - failures)
    spread = torch.linspace(0, max(0, len(right) - 1), successes).round().long()
    return torch.cat([wrong[:failures], right[spread]])


def _readable(sets: dict[Modality, FeatureSet]) -> Tensor:
    masks = [~items.features.isnan().flatten(1).any(dim=1) for items in sets.values()]
    return torch.stack(masks).all(dim=0)


def _same_class(labels: Tensor, others: Tensor) -> Tensor:
    """Whether items (Q,) share a class with others (Q, k); with several labels an item, (Q, classes) and (Q, k, …)."""
    if labels.ndim == 1:
        return labels.unsqueeze(1) == others
    return (labels.unsqueeze(1) & others).any(dim=-1)
