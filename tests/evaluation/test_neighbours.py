import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.evaluation import FeatureSet
from stica_pv.evaluation.neighbours import RECALLS, knn_accuracy, process, recall_at, ridge_accuracy

CLASSES, DIM = 5, 16


def planted(count: int, seed: int, *, spread: float = 0.1) -> tuple[Tensor, Tensor]:
    """Returns unit rows (V, D) around one direction per class, and the classes."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    rows = torch.eye(CLASSES, DIM)[labels] + spread * torch.randn(count, DIM, generator=rng)
    return F.normalize(rows, dim=1), labels


@pytest.mark.parametrize("k", [1, 5, 10, 20, 50])
def test_recall_agrees_with_scikit_learn(k: int):
    neighbors = pytest.importorskip("sklearn.neighbors")
    (gallery, labels), (queries, wanted) = planted(60, 0, spread=0.6), planted(40, 1, spread=0.6)
    nearest = neighbors.NearestNeighbors(n_neighbors=k, metric="cosine").fit(gallery.numpy())
    found = labels[torch.from_numpy(nearest.kneighbors(queries.numpy(), return_distance=False))]
    expected = 100 * float((found == wanted[:, None]).any(dim=1).float().mean())
    assert recall_at(gallery, labels, queries, wanted)[f"R@{k}"] == pytest.approx(expected)
    assert k > 1 or 30 < expected < 100


@pytest.mark.parametrize("k", [1, 4, 15, 60])
def test_knn_agrees_with_scikit_learn(k: int):
    neighbors = pytest.importorskip("sklearn.neighbors")
    (gallery, labels), (queries, wanted) = planted(60, 0, spread=0.6), planted(40, 1, spread=0.6)
    classifier = neighbors.KNeighborsClassifier(
        n_neighbors=k, metric="cosine", weights=lambda distance: torch.exp((1 - torch.tensor(distance)) / 0.07).numpy()
    )
    expected = 100 * classifier.fit(gallery.numpy(), labels.numpy()).score(queries.numpy(), wanted.numpy())
    assert knn_accuracy(gallery, labels, queries, wanted, k=k)["top1"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_ridge_agrees_with_scikit_learn(strength: float):
    linear_model = pytest.importorskip("sklearn.linear_model")
    (gallery, labels), (queries, wanted) = planted(60, 0, spread=0.6), planted(40, 1, spread=0.6)
    centred = gallery.double() - gallery.double().mean(dim=0)
    alpha = strength * float((centred.mT @ centred).diagonal().mean())
    model = linear_model.Ridge(alpha=alpha).fit(gallery.double().numpy(), F.one_hot(labels, CLASSES).double().numpy())
    expected = 100 * float((model.predict(queries.double().numpy()).argmax(axis=1) == wanted.numpy()).mean())
    assert ridge_accuracy(gallery, labels, queries, wanted, strength=strength) == pytest.approx(expected, abs=1e-3)


def test_planted_features_are_found_completely():
    arguments = *planted(60, 0), *planted(40, 1)
    assert set(recall_at(*arguments).values()) == {100.0}
    assert knn_accuracy(*arguments, k=10) == {"top1": 100.0}
    assert ridge_accuracy(*arguments, strength=0.1) == 100.0


def test_shuffled_features_are_near_chance():
    gallery, labels = planted(1000, 0)
    queries, wanted = planted(1000, 1)
    mixed = labels[torch.randperm(1000, generator=torch.Generator().manual_seed(2))]
    scores = (
        recall_at(gallery, mixed, queries, wanted)["R@1"],
        knn_accuracy(gallery, mixed, queries, wanted, k=1)["top1"],
        ridge_accuracy(gallery, mixed, queries, wanted, strength=0.1),
    )
    assert all(10 < score < 30 for score in scores)  # chance is 20


def test_recall_never_falls_with_k_and_a_small_gallery_is_allowed():
    scores = recall_at(*planted(4, 0), *planted(7, 1))
    values = [scores[f"R@{k}"] for k in RECALLS]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(100 * 6 / 7)  # the fifth class is not in the gallery


def test_knn_takes_no_more_neighbours_than_there_are_and_no_fewer_than_one():
    arguments = *planted(10, 0), *planted(10, 1)
    assert knn_accuracy(*arguments, k=99) == knn_accuracy(*arguments, k=10)
    with pytest.raises(UsageError, match=r"TEST\.KNN_K"):
        knn_accuracy(*arguments, k=0)


def sets() -> tuple[FeatureSet, FeatureSet]:
    rng = torch.Generator().manual_seed(0)
    gallery, queries = (3 + torch.tensor([1.0, 5.0]) * torch.randn(n, 2, generator=rng) for n in (50, 20))
    return FeatureSet(gallery, torch.zeros(50)), FeatureSet(queries, torch.zeros(20))


@pytest.mark.parametrize("how", ["raw", "centred", "standardised"])
def test_processing_uses_the_statistics_of_the_gallery_for_both(how: str):
    gallery, queries = sets()
    mean, std = gallery.features.mean(dim=0), gallery.features.std(dim=0)
    move = {"raw": lambda x: x, "centred": lambda x: x - mean, "standardised": lambda x: (x - mean) / std}[how]
    for found, part in zip(process(gallery, queries, how), (gallery, queries), strict=True):
        moved = move(part.features)
        assert torch.allclose(found, moved / moved.norm(dim=1, keepdim=True), atol=1e-6)


def test_a_feature_that_never_changes_does_no_harm():
    gallery, queries = (FeatureSet(F.pad(part.features, (0, 1), value=2.0), part.labels) for part in sets())
    assert all(bool(torch.isfinite(rows).all()) for rows in process(gallery, queries, "standardised"))


def test_unknown_processing_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean centred"):
        process(*sets(), "centered")
