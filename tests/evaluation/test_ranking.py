import math

import pytest
import torch
from planted_features import ones
from torch import Tensor

from stica_pv.evaluation.metrics import bootstrap_interval
from stica_pv.evaluation.ranking import LabelRanking, top_k_hits, top_k_metrics

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def drawn(items: int = 60, classes: int = 7, *, ties: bool = False) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    labels = torch.rand(items, classes, generator=rng) < 0.3
    scores = torch.randn(items, classes, generator=rng) + labels
    return (scores * 2).round() if ties else scores, labels


@pytest.mark.parametrize("k", [1, 5])
def test_top_k_agrees_with_scikit_learn(k: int):
    scores, _ = drawn(classes=9)
    labels = torch.arange(60) % 9
    expected = 100 * sklearn_metrics.top_k_accuracy_score(labels, scores, k=k)
    found = {metric.name: metric.value for metric in top_k_metrics(scores, labels)}
    assert found[f"top{k}"] == pytest.approx(expected)


def test_top5_of_five_classes_says_nothing_and_is_left_out():
    assert [m.name for m in top_k_metrics(torch.rand(4, 5), torch.arange(4))] == ["top1"]
    assert [m.name for m in top_k_metrics(torch.rand(4, 6), torch.arange(4), prefix="a ")] == ["a top1", "a top5"]


def test_a_class_that_was_never_trained_is_a_miss():
    assert top_k_hits(torch.rand(3, 2), torch.tensor([0, 2, 5]), 2).tolist() == [True, False, False]


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="1 of 2 items"):
        top_k_hits(torch.tensor([[0.0, math.nan], [0.0, 1.0]]), torch.zeros(2, dtype=torch.int64), 1)
    with pytest.raises(ValueError, match="nan"):
        LabelRanking(torch.tensor([[math.nan]]), torch.tensor([[True]]))


@pytest.mark.parametrize("ties", [False, True])
def test_map_and_auc_agree_with_scikit_learn(ties: bool):
    scores, labels = drawn(ties=ties)
    ranking = LabelRanking(scores, labels)
    precision = sklearn_metrics.average_precision_score(labels, scores, average="macro")
    area = sklearn_metrics.roc_auc_score(labels, scores, average="macro")
    assert float(ranking.average_precision(ones(60))) == pytest.approx(100 * precision)
    assert float(ranking.auc(ones(60))) == pytest.approx(100 * area)


@pytest.mark.parametrize("ties", [False, True])
def test_items_drawn_several_times_or_never_count_so(ties: bool):
    scores, labels = drawn(ties=ties)
    weights = torch.randint(3, (2, 60), generator=torch.Generator().manual_seed(4)).double()
    ranking = LabelRanking(scores, labels)
    for row, precision, area in zip(weights, ranking.average_precision(weights), ranking.auc(weights), strict=True):
        arguments = labels, scores
        expected = sklearn_metrics.average_precision_score(*arguments, average="macro", sample_weight=row)
        assert float(precision) == pytest.approx(100 * expected)
        expected = sklearn_metrics.roc_auc_score(*arguments, average="macro", sample_weight=row)
        assert float(area) == pytest.approx(100 * expected)


def test_d_prime_of_known_areas():
    scores = torch.arange(100.0).unsqueeze(1)
    labels = torch.arange(100).unsqueeze(1) % 2 == 0
    ranking = LabelRanking(scores, labels)
    area = float(ranking.auc(ones(100))) / 100
    assert area == pytest.approx(0.49)  # each positive stands just below a negative
    expected = math.sqrt(2) * -0.0250689  # a table of the normal distribution at 0.49
    assert float(ranking.d_prime(ones(100))) == pytest.approx(expected, abs=1e-5)


def test_classes_without_a_positive_item_are_left_out_of_the_mean():
    scores, labels = drawn()
    full = LabelRanking(scores[:, 1:], labels[:, 1:])
    labels[:, 0] = False
    ranking = LabelRanking(scores, labels)
    assert float(ranking.average_precision(ones(60))) == pytest.approx(float(full.average_precision(ones(60))))
    assert float(ranking.auc(ones(60))) == pytest.approx(float(full.auc(ones(60))))


def test_perfect_scores_give_full_marks_and_an_interval_of_no_width():
    _, labels = drawn()
    found = {metric.name: metric for metric in LabelRanking(labels.float(), labels).metrics()}
    assert found["mAP"].value == found["AUC"].value == 100.0
    assert bootstrap_interval(found["mAP"], torch.arange(60) // 2, seed=0, draws=50) == (100.0, 100.0)
