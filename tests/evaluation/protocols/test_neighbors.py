import pytest
import torch
import torch.nn.functional as F
from planted_features import planted
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.evaluation.protocols.neighbors import (
    RECALLS,
    average_precisions,
    class_votes,
    nearest,
    recall_hits,
    similarity_chunks,
)


def rows(count: int, seed: int, *, spread: float = 0.6) -> tuple[Tensor, Tensor]:
    items = planted(count, seed, spread=spread, siblings=1)
    return items.features[:, 0], items.labels


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", RECALLS)
def test_neighbors_and_recall_agree_with_scikit_learn(metric: str, k: int):
    neighbors = pytest.importorskip("sklearn.neighbors")
    (gallery, labels), (queries, wanted) = rows(60, 0, spread=0.4), rows(40, 1, spread=0.4)
    expected = neighbors.NearestNeighbors(n_neighbors=k, metric=metric).fit(gallery.numpy())
    order = torch.from_numpy(expected.kneighbors(queries.numpy(), return_distance=False))
    _, found = nearest(gallery, queries, k=max(RECALLS), metric=metric)
    assert torch.equal(found[:, :k], order)  # exact: integers
    hits = recall_hits(labels[found] == wanted[:, None], RECALLS)
    assert torch.equal(hits[k], (labels[order] == wanted[:, None]).any(dim=1))
    assert k > 1 or 0.3 < hits[k].float().mean() < 1


@pytest.mark.parametrize("votes", ["weighted", "plain"])
@pytest.mark.parametrize("k", [1, 4, 15, 60])
def test_votes_agree_with_scikit_learn(votes: str, k: int):
    neighbors = pytest.importorskip("sklearn.neighbors")
    (gallery, labels), (queries, _) = rows(60, 0, spread=0.4), rows(40, 1, spread=0.4)
    weights = {"weighted": lambda d: torch.exp((1 - torch.tensor(d)) / 0.07).numpy(), "plain": "uniform"}[votes]
    model = neighbors.KNeighborsClassifier(n_neighbors=k, metric="cosine", weights=weights)
    expected = model.fit(gallery.numpy(), labels.numpy()).predict(queries.numpy())
    similarity, indices = nearest(gallery, queries, k=k, metric="cosine")
    found = class_votes(similarity, labels[indices], classes=8, votes=votes)
    assert found.argmax(dim=1).tolist() == expected.tolist()


def test_votes_in_numbers():
    similarity, labels = torch.tensor([[0.9, 0.83, 0.76]]), torch.tensor([[2, 0, 0]])
    weighted = class_votes(similarity, labels, classes=3, votes="weighted")[0]
    assert (weighted / weighted[2]).tolist() == pytest.approx([0.3679 + 0.1353, 0, 1], abs=1e-3)  # e^-1 + e^-2
    assert class_votes(similarity, labels, classes=3, votes="plain").tolist() == [[2, 0, 1]]


def test_no_more_neighbors_than_there_are():
    (gallery, _), (queries, _) = rows(10, 0), rows(4, 1)
    similarity, indices = nearest(gallery, queries, k=99, metric="cosine")
    assert similarity.shape == indices.shape == (4, 10)
    hits = recall_hits(torch.tensor([[False, True]]), RECALLS)
    assert [bool(hits[k]) for k in RECALLS] == [False, True, True, True, True]


def test_pieces_of_any_size_find_the_same(monkeypatch: pytest.MonkeyPatch):
    (gallery, labels), (queries, wanted) = rows(60, 0), rows(41, 1)
    expected = nearest(gallery, queries, k=9, metric="euclidean")[1]
    precisions = average_precisions(gallery, labels, queries, wanted, metric="cosine")
    for elements in (1, 60 * 7, 60 * 41):
        monkeypatch.setattr("stica_pv.evaluation.protocols.neighbors.CHUNK_ELEMENTS", elements)
        assert torch.equal(nearest(gallery, queries, k=9, metric="euclidean")[1], expected)
        found = average_precisions(gallery, labels, queries, wanted, metric="cosine")
        assert torch.allclose(found, precisions)
    assert len(list(similarity_chunks(gallery, queries, metric="cosine"))) == 1


def test_average_precision_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    (gallery, labels), (queries, wanted) = rows(60, 0, spread=0.4), rows(40, 1, spread=0.4)
    similarity = F.normalize(queries, dim=1) @ F.normalize(gallery, dim=1).mT
    expected = [
        metrics.average_precision_score(labels == label, row) for row, label in zip(similarity, wanted, strict=True)
    ]
    found = average_precisions(gallery, labels, queries, wanted, metric="cosine")
    assert found.tolist() == pytest.approx(expected)


def test_average_precision_in_numbers_and_without_anything_to_find():
    gallery = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    found = average_precisions(
        gallery, torch.tensor([0, 1, 0]), torch.tensor([[1.0, 0.0]] * 2), torch.tensor([0, 7]), metric="cosine"
    )
    assert found.tolist() == pytest.approx([(1 + 2 / 3) / 2, 0.0])


def test_unknown_words_name_the_nearest():
    with pytest.raises(UsageError, match="did you mean cosine"):
        nearest(*(rows(4, 0)[0],) * 2, k=1, metric="cosin")
    with pytest.raises(UsageError, match=r"TEST\.KNN_VOTES.*did you mean weighted"):
        class_votes(torch.rand(1, 1), torch.zeros(1, 1, dtype=torch.int64), classes=1, votes="weigthed")
