import logging
from typing import Any

import pytest
import torch
from planted_features import mixed_labels, planted

from stica_pv.evaluation.feature_evaluation import FeatureEvaluation, Scored
from stica_pv.evaluation.protocols.few_shot import FewShot, _warn_small_classes, sample_metrics, sample_shots
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.progress import Progress

pytest.importorskip("sklearn")


def few_shot(shots: tuple[int, ...] = (1, 5), *, draws: int = 4, classifier: str = "svm") -> FewShot:
    return FewShot(FeatureRequest(), FeatureRequest(), shots, draws, classifier, 1.0)


@pytest.mark.parametrize("shots", [1, 3, 20])
def test_a_draw_takes_n_of_each_class_or_all_it_has(shots: int):
    labels = torch.tensor([4] * 30 + [1] * 2 + [0] * 9)[torch.randperm(41)]
    chosen = sample_shots(labels, shots, draw=1, seed=0)
    assert chosen.unique().tolist() == chosen.tolist()
    assert labels[chosen].bincount().tolist() == [min(9, shots), min(2, shots), 0, 0, min(30, shots)]


def test_draws_differ_and_come_again_with_their_seed():
    labels = torch.arange(80) % 8
    first, again = (sample_shots(labels, 2, draw=0, seed=3) for _ in range(2))
    assert torch.equal(first, again)  # exact: integers
    assert not torch.equal(first, sample_shots(labels, 2, draw=1, seed=3))
    assert not torch.equal(first, sample_shots(labels, 2, draw=0, seed=4))


def test_every_item_is_drawn_some_time_and_as_often_as_the_others():
    labels = torch.arange(20) % 2
    counts = torch.cat([sample_shots(labels, 2, draw=draw, seed=0) for draw in range(500)]).bincount(minlength=20)
    assert 65 < counts.min() <= counts.max() < 135  # 100 each expected


def test_too_small_classes_are_reported_once(caplog: pytest.LogCaptureFixture):
    _warn_small_classes.cache_clear()
    with caplog.at_level(logging.WARNING):
        for seed in (0, 1):
            few_shot((5,)).score({"video": planted(24, 0, siblings=1)}, {"video": planted(8, 1)}, seed=seed)
    assert caplog.text.count("8 classes have fewer than 5 training items (the smallest 3) and use all they have") == 1


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_perfect_features_need_one_label(classifier: str):
    found = few_shot(classifier=classifier).score({"video": planted(64, 0)}, {"video": planted(32, 1)}, seed=0)
    assert {m.name: m.value for m in found} == {
        "1-shot top1": 100.0,
        "1-shot top1 std": 0.0,
        "5-shot top1": 100.0,
        "5-shot top1 std": 0.0,
    }


def test_labels_that_mean_nothing_give_chance():
    train, test = mixed_labels(planted(160, 0, siblings=1)), planted(400, 1)
    found = few_shot((5,), draws=10).score({"video": train}, {"video": test}, seed=0)
    assert 5 < found[0].value < 21  # chance is 12.5


def test_mean_and_deviation_are_those_of_the_accuracies_of_the_draws():
    hits = 100.0 * (torch.rand(6, 30, generator=torch.Generator().manual_seed(0)) < 0.6)
    mean, deviation = sample_metrics("x", hits)
    accuracies = hits.mean(dim=1)
    assert mean.value == pytest.approx(float(accuracies.mean()))
    assert deviation.value == pytest.approx(float(accuracies.std()), rel=1e-5)
    assert deviation.paired_with == "x"
    weights = torch.zeros(1, 30, dtype=torch.float64).index_fill_(1, torch.tensor([2, 4]), 3.0)
    assert float(deviation.statistic(weights)) == pytest.approx(float(hits[:, [2, 4]].mean(dim=1).std()), rel=1e-5)


def test_one_draw_has_no_deviation():
    assert [m.name for m in sample_metrics("x", torch.ones(1, 3))] == ["x"]


def test_the_measures_are_means_over_the_classifiers_of_the_draws():
    protocol = few_shot((2,), draws=3)
    train, test = planted(64, 0, spread=0.5), planted(40, 1, spread=0.5)
    accuracies = []
    for draw in range(3):
        rows = torch.nn.functional.normalize(test.features, dim=-1)
        guess = protocol.fit(train, 2, draw, seed=5).scores(rows).argmax(dim=1)
        accuracies.append(100 * (guess == test.labels).double().mean())
    mean, deviation = protocol.score({"video": train}, {"video": test}, seed=5)
    assert mean.value == pytest.approx(float(torch.stack(accuracies).mean()))
    assert deviation.value == pytest.approx(float(torch.stack(accuracies).std()))
    assert 0 < deviation.value < 30


def test_random_initialisation_at_its_best_keeps_the_deviation_of_its_best_mean(monkeypatch: pytest.MonkeyPatch):
    accuracies = {"raw": [30.0, 50.0], "centered": [61.0, 59.0], "standardized": [45.0, 55.0]}

    def score(self: FeatureEvaluation, context: Any, model: Any, how: str) -> list[Scored]:
        metrics = sample_metrics("x", torch.tensor(accuracies[how]).unsqueeze(1))
        return [Scored("random_init", how, (metric,), (torch.zeros(1),)) for metric in metrics]

    monkeypatch.setattr(FeatureEvaluation, "score", score)
    found: Any = FeatureEvaluation("few_shot", few_shot(), "raw", 0)._best_random(None, [None], Progress("x", 3))
    assert [(scored.processing, scored.mean.value) for scored in found] == [
        ("centered", 60.0),
        ("centered", pytest.approx(2**0.5)),
    ]
