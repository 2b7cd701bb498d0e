"""What the gallery calls nearest and right, against planted features and slow loops."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocols.cross_modal import CrossModal, cross_hits
from stica_pv.evaluation.protocols.retrieval import Retrieval
from stica_pv.report.search import ITSELF, OTHER, SAME_CLASS, Direction, Found, queries_to_show, search

ITEMS, TRAIN, CLASSES = 48, 32, 6


class PlantedContext:
    """Features by modality; the items of both halves are shuffled, as lists of real data sets are."""

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(0)
        labels, noise = torch.arange(ITEMS) % CLASSES, 0.7 * torch.randn(2, ITEMS, 1, 16, generator=rng)
        items = FeatureSet(torch.eye(CLASSES, 16)[labels].unsqueeze(1) + noise[0], labels, torch.arange(ITEMS))
        other = FeatureSet(items.features + noise[1], items.labels, items.groups)
        self.sets = {"video": items, "audio": other}
        order = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(3))
        self.labeled = SimpleNamespace(folds=[SimpleNamespace(train=order[:TRAIN], test=order[TRAIN:])])

    def features(self, model: object, request: object, items: torch.Tensor) -> FeatureSet:
        return self.sets[request.modality].rows(items)


def direction(query: str, gallery: str) -> Direction:
    near, across = Retrieval("retrieval", REQUEST, REQUEST, "cosine"), CrossModal(1, 1, "fixed")
    protocol = near if query == gallery else across
    requests = protocol.train_requests(), protocol.test_requests()
    return Direction(query, gallery, query == gallery, *requests, "cosine", "centered")


REQUEST = CrossModal(1, 1, "fixed").test_requests()["video"]


def test_neighbors_are_those_of_a_slow_search_among_training_items():
    context = PlantedContext()
    fold, items = context.labeled.folds[0], context.sets["video"]
    found = search(direction("video", "video"), context, None, 3)
    assert torch.equal(found.queries, fold.test)
    rows = items.features[:, 0] - items.features[fold.train, 0].mean(dim=0)
    for row, query in enumerate(fold.test.tolist()):
        cosines = {item: float(F.cosine_similarity(rows[query], rows[item], dim=0)) for item in fold.train.tolist()}
        nearest = sorted(cosines, key=lambda item: -cosines[item])[:3]
        assert found.neighbors[row].tolist() == nearest
        marks = [SAME_CLASS if items.labels[item] == items.labels[query] else OTHER for item in nearest]
        assert found.marks[row].tolist() == marks
    assert 0 < int(found.hits.sum()) < len(fold.test)


@pytest.mark.parametrize(("query", "gallery"), [("audio", "video"), ("video", "audio")])
def test_across_modalities_the_clip_itself_counts_as_the_evaluation_counts_it(query: str, gallery: str):
    context = PlantedContext()
    fold = context.labeled.folds[0]
    found = search(direction(query, gallery), context, None, 2)
    assert set(found.neighbors.flatten().tolist()) <= set(fold.test.tolist())
    moved = {}
    for name, items in context.sets.items():
        mean = items.features[fold.train].flatten(0, 1).mean(dim=0)
        moved[name] = FeatureSet(items.features[fold.test] - mean, items.labels[fold.test], items.groups[fold.test])
    hits = cross_hits(moved[query], moved[gallery], (1,))["R@1"]
    assert torch.equal((found.marks[:, 0] == ITSELF).double(), hits)  # exact: small whole numbers, which floats hold
    assert 0 < float(hits.mean()) < 1


def test_items_without_features_are_left_out_and_counted():
    context = PlantedContext()
    fold = context.labeled.folds[0]
    context.sets["video"].features[fold.test[0]] = torch.nan
    context.sets["video"].features[fold.train[:2]] = torch.nan
    found = search(direction("video", "video"), context, None, 3)
    assert found.unreadable == 3
    assert torch.equal(found.queries, fold.test[1:])
    assert not set(found.neighbors.flatten().tolist()) & set(fold.train[:2].tolist())


def made(marks: list[int], similarity: list[float]) -> Found:
    queries = torch.arange(len(marks))
    return Found(queries, queries[:, None], torch.tensor(similarity)[:, None], torch.tensor(marks)[:, None], 0)


def test_failures_come_first_the_surest_before_the_others():
    found = made([1, 0, 0, 1, 0, 1, 0], [0.1, 0.2, 0.9, 0.8, 0.3, 0.5, 0.4])
    assert queries_to_show(found, 3).tolist() == [2, 6, 3]  # two failures, one success
    assert queries_to_show(found, 100).tolist() == [2, 6, 4, 1, 3, 5, 0]


def test_failures_fill_the_place_of_missing_successes_and_the_other_way_round():
    assert queries_to_show(made([0, 0, 0, 1], [0.4, 0.3, 0.2, 0.1]), 3).tolist() == [0, 1, 3]
    assert queries_to_show(made([0, 0, 0, 0], [0.4, 0.3, 0.2, 0.1]), 3).tolist() == [0, 1, 2]
    assert queries_to_show(made([1, 1, 1, 1], [0.4, 0.3, 0.2, 0.1]), 3).tolist() == [0, 2, 3]
