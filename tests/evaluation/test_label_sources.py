"""Scores split by the source of labels equal those computed from the items, or classes, of a source alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_videos import Noise, labeled_set, made_context, model
from planted_features import ones

from stica_pv.evaluation.feature_evaluation import FeatureEvaluation, counting_as_wrong
from stica_pv.evaluation.feature_passes import extract_features
from stica_pv.evaluation.label_sources import split_by_source
from stica_pv.evaluation.metrics import mean_metric
from stica_pv.evaluation.protocols.retrieval import Knn, Retrieval, class_mean_metric
from stica_pv.evaluation.ranking import LabelRanking
from stica_pv.evaluation.requests import FeatureRequest

SOURCES = ("audio", "video", "audio", "", "both")
LABELS = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3, 0, 2])
VALUES = torch.tensor([100.0, 0, 100, 100, 0, 100, 0, 0, 0, 100])


def test_a_mean_is_that_of_the_items_of_the_source():
    found = {
        metric.name: (metric, rows) for metric, rows in split_by_source([mean_metric("top1", VALUES)], LABELS, SOURCES)
    }
    assert list(found) == ["top1", "top1, labels from audio", "top1, labels from video"]  # no test item has both
    audio, rows = found["top1, labels from audio"]
    assert rows.tolist() == [0, 2, 4, 6, 8, 9]
    assert (audio.items, audio.paired_with) == (6, "top1")
    assert audio.value == pytest.approx(float(VALUES[rows].mean()))
    weights = torch.rand(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(audio.statistic(weights), weights @ VALUES[rows].double() / weights.sum(dim=1))
    assert found["top1"][0].value == pytest.approx(float(VALUES.mean()))


def test_without_sources_nothing_is_split():
    metrics = [mean_metric("top1", VALUES)]
    assert [metric for metric, _ in split_by_source(metrics, LABELS, ())] == metrics


def test_a_mean_over_classes_is_that_over_the_classes_of_the_source():
    metric = class_mean_metric("mAP by class", VALUES, LABELS)
    found = {one.name: one for one, _ in split_by_source([metric], LABELS, SOURCES)}
    expected = sum(float(VALUES[label == LABELS].mean()) for label in (0, 2)) / 2
    assert found["mAP by class, labels from audio"].value == pytest.approx(expected)


def test_several_labels_are_split_by_class_and_other_scores_by_items_of_one_source():
    rng = torch.Generator().manual_seed(0)
    labels = torch.rand(40, 5, generator=rng) < 0.3
    scores = torch.rand(40, 5, generator=rng)
    metrics = [*LabelRanking(scores, labels).metrics(), mean_metric("R@1", torch.rand(40, generator=rng))]
    found = {metric.name: (metric, rows) for metric, rows in split_by_source(metrics, labels, SOURCES)}
    by_class = [LabelRanking(scores[:, [c]], labels[:, [c]]).average_precision(ones(40)) for c in range(5)]
    metric, rows = found["mAP, labels from audio"]
    assert metric.value == pytest.approx(float(by_class[0] + by_class[2]) / 2)
    assert (len(rows), metric.items) == (40, 40)
    assert found["mAP, labels from both"][0].value == pytest.approx(float(by_class[4]))
    _, rows = found["R@1, labels from audio"]
    allowed = {(0,), (2,), (0, 2)}
    assert rows.tolist() == [i for i in range(40) if tuple(labels[i].nonzero()[:, 0].tolist()) in allowed]


def test_unreadable_items_are_wrong_in_the_split_of_classes_too():
    scores, labels = torch.rand(8, 5, generator=torch.Generator().manual_seed(0)), torch.eye(5).bool().repeat(2, 1)[:8]
    readable = torch.tensor([True] * 6 + [False] * 2)
    whole = LabelRanking(scores[readable], labels[readable]).metrics()[0]
    metric = counting_as_wrong(whole, readable)
    found = {one.name: one for one, _ in split_by_source([metric], labels, SOURCES)}
    own = LabelRanking(scores[readable][:, [0, 2]], labels[readable][:, [0, 2]]).metrics()[0]
    assert found["mAP, labels from audio"].value == pytest.approx(own.value * 6 / 8)


@pytest.mark.parametrize("protocol", ["retrieval", "knn"])
def test_the_rows_of_a_protocol_have_items_and_intervals_of_each_source(tmp_path: Path, protocol: str):
    request = FeatureRequest(clips=1)
    plain = (
        Retrieval("retrieval", request, request, "cosine")
        if protocol == "retrieval"
        else Knn(request, request, 3, "plain")
    )
    labeled = replace(labeled_set(36, folds=2), label_sources=("audio", "both", "audio"))
    context = made_context(tmp_path, [model("noise", Noise())], labeled)
    evaluation = FeatureEvaluation(protocol, plain, "raw", seed=0)
    extract_features(evaluation.feature_jobs(context), context)
    rows = {(row.metric, row.fold): row for row in evaluation.run(context) if row.model == "noise"}
    name = "R@1" if protocol == "retrieval" else "top1"
    for fold in ("1", "2"):
        whole, audio, both = (rows[name + part, fold] for part in ("", ", labels from audio", ", labels from both"))
        assert (audio.n, both.n) == (8, 4)
        assert whole.value == pytest.approx((8 * audio.value + 4 * both.value) / 12)
        assert audio.low <= audio.value <= audio.high
    assert rows[f"{name}, labels from audio", "mean"].n == 16
    assert (f"{name}, labels from video", "1") not in rows
