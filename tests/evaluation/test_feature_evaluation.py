from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_videos import CLIP_FORMAT, Colors, FakeReader, Noise, Planted, labeled_set, made_context, model
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.evaluation.feature_evaluation import FeatureEvaluation, counting_as_wrong, feature_jobs_of
from stica_pv.evaluation.feature_passes import extract_features
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric, mean_metric
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.protocols.retrieval import Knn, Retrieval
from stica_pv.evaluation.requests import FeatureRequest

REQUEST = FeatureRequest(clips=2)
RETRIEVAL = Retrieval("retrieval", REQUEST, REQUEST, "cosine")


def run(context: EvaluationContext, protocol: Any = RETRIEVAL, processing: str = "raw") -> list[Row]:
    evaluation = FeatureEvaluation(protocol.name.split()[0], protocol, processing, seed=0)
    extract_features(evaluation.feature_jobs(context), context)
    return evaluation.run(context)


def value(rows: Sequence[Row], model: str, metric: str = "R@1", fold: str = "1") -> float:
    (found,) = (r.value for r in rows if (r.model, r.metric, r.fold) == (model, metric, fold))
    return found


def test_planted_features_give_full_marks_and_shuffled_labels_chance(tmp_path: Path):
    plain = labeled_set(240, siblings=4)
    order = torch.randperm(240, generator=torch.Generator().manual_seed(0))
    mixed = labeled_set(240, siblings=4, labels=plain.labels[order])
    for labeled, low, high in ((plain, 100, 100), (replace(mixed, hash="mixed"), 15, 50)):  # chance is 33
        context = made_context(tmp_path / labeled.hash, [model("planted", Planted(3))], labeled)
        for protocol, metric in ((RETRIEVAL, "R@1"), (Knn(REQUEST, REQUEST, 20, "weighted"), "top1")):
            assert low <= value(run(context, protocol), "planted", metric) <= high


def test_uninformative_features_are_at_chance(tmp_path: Path):
    context = made_context(tmp_path, [model("noise", Noise())], labeled_set(24))
    assert value(run(context), "noise") < 80


@dataclass(frozen=True)
class Recorder:
    """Keeps what it is given; scores item numbers."""

    received: list[tuple[Mapping[str, FeatureSet], Mapping[str, FeatureSet]]]
    processed: bool = True
    name: str = "recorder (exactly)"

    def train_requests(self) -> dict[str, FeatureRequest]:
        return {"video": replace(REQUEST, average=False)}

    def test_requests(self) -> dict[str, FeatureRequest]:
        return {"video": REQUEST}

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        self.received.append((train, test))
        return [mean_metric("x", test["video"].groups.double())]


def test_maps_of_frames_of_different_sizes_are_not_compared(tmp_path: Path):
    request = FeatureRequest(layer="map_max", clips=2)
    evaluated = model("a", Planted(3), clip_format=replace(CLIP_FORMAT, size=256, train_size=224))
    protocol = Retrieval("retrieval", replace(request, transform="random_crop"), request, "euclidean")
    with pytest.raises(
        UsageError, match=r"random_crop views of 224 px .* fixed views of 256 px .*TRAIN_TRANSFORM fixed"
    ):
        feature_jobs_of(protocol, [evaluated], made_context(tmp_path, [evaluated]))
    assert len(feature_jobs_of(replace(protocol, train=request), [evaluated], made_context(tmp_path, [evaluated]))) == 2


def test_each_fold_trains_on_its_own_items_and_no_other(tmp_path: Path):
    recorder, labeled = Recorder([]), labeled_set(24, folds=2)
    run(made_context(tmp_path, [model("a", Planted(3))], labeled), recorder)
    assert len(recorder.received) == 2
    for (train, test), fold in zip(recorder.received, labeled.folds, strict=True):
        assert torch.equal(train["video"].groups, labeled.groups[fold.train])
        assert torch.equal(test["video"].labels, labeled.labels[fold.test])
        assert train["video"].features.shape == (len(fold.train), 2, 3)
        assert test["video"].features.shape == (len(fold.test), 1, 3)


def test_training_items_are_extracted_through_the_training_request_alone(tmp_path: Path):
    reader, labeled = FakeReader(), labeled_set(24)
    run(made_context(tmp_path, [model("a", Planted(3))], labeled, reader=reader), Recorder([]))
    assert sorted(reader.paths) == sorted(labeled.paths)  # one pass for both, as the clips are the same
    fold = labeled.folds[0]
    assert len(list((tmp_path / "features").iterdir())) == 2
    assert not set(fold.train.tolist()) & set(fold.test.tolist())


def test_rows_state_folds_mean_counts_and_views(tmp_path: Path):
    labeled = labeled_set(30, folds=3)
    rows = run(made_context(tmp_path, [model("a", Planted(3))], labeled), Recorder([]), "centered")
    assert [row.fold for row in rows] == ["1", "2", "3", "mean"]
    assert rows[-1].value == pytest.approx(sum(row.value for row in rows[:3]) / 3)
    counts = [len(fold.test) for fold in labeled.folds]
    assert [row.n for row in rows] == [*counts, sum(counts)]
    assert [row.groups for row in rows] == [row.n // 3 for row in rows]
    row = rows[-1]
    assert (row.evaluation, row.protocol, row.metric, row.views) == ("recorder", "recorder (exactly)", "x", "2 x 1")
    assert (row.dataset, row.dataset_hash, row.processing) == ("made", labeled.hash, "centered")
    assert row.low <= row.value <= row.high


class Shifted(nn.Module):
    """The planted class, hidden by one feature that is too large and uninformative."""

    def forward(self, video: Tensor) -> Tensor:
        clutter = Noise()(video)[:, :1]
        return torch.cat([0.01 * Planted(3)(video), 0.5 * clutter, torch.ones_like(clutter)], dim=1)


@pytest.mark.parametrize(("processing", "found"), [("raw", False), ("centered", False), ("standardized", True)])
def test_trained_features_are_shown_under_the_declared_processing_alone(tmp_path: Path, processing: str, found: bool):
    context = made_context(tmp_path, [model("a", Shifted())], labeled_set(48))
    assert (value(run(context, processing=processing), "a") == 100) is found


def test_random_initialisation_is_shown_at_its_best_for_each_number(tmp_path: Path):
    models = [
        model("random_init", Shifted(), "random"),
        model("random_init", Noise(), "random", reestimate=True),
    ]
    rows = run(made_context(tmp_path, models, labeled_set(48)))
    best = [row for row in rows if row.metric == "R@1"]
    assert [(row.model, row.value, row.processing) for row in best] == [
        ("random_init", 100.0, "standardized, as it is")
    ]
    rows = run(
        made_context(
            tmp_path, [replace(models[1], reestimate=False), replace(models[0], reestimate=True)], labeled_set(48)
        )
    )
    assert next(row.processing for row in rows if row.metric == "R@1") == "standardized, re-estimated"


@dataclass(frozen=True)
class WithDeviation(Recorder):
    """A measure that is best in the second try, and one paired with it that is largest in the first."""

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        self.received.append((train, test))
        rows = torch.full((len(test["video"]),), float(len(self.received)))
        good = rows if len(self.received) < 3 else -rows
        return [mean_metric("top1", good), replace(mean_metric("top1 std", -rows), paired_with="top1")]


def test_a_deviation_is_that_of_the_number_that_it_stands_beside(tmp_path: Path):
    context = made_context(tmp_path, [model("random_init", Planted(3), "random")])
    rows = run(context, WithDeviation([]))
    assert {row.metric: (row.value, row.processing) for row in rows} == {
        "top1": (2.0, "centered, as it is"),
        "top1 std": (-2.0, "centered, as it is"),
    }


def test_random_initialisation_of_other_networks_has_rows_of_its_own(tmp_path: Path):
    models = [model("random_init of a", Planted(3), "random"), model("random_init of b", Noise(), "random")]
    rows = run(made_context(tmp_path, models))
    assert value(rows, "random_init of a") == 100 > value(rows, "random_init of b")


def test_a_protocol_with_a_processing_of_its_own_sees_raw_features(tmp_path: Path):
    recorder = Recorder([], processed=False)
    models = [
        model("a", Planted(3)),
        model("random_init", Planted(3), "random"),
        model("c", Planted(3), "baseline"),
    ]
    rows = run(made_context(tmp_path, models), recorder, "standardized")
    assert len(recorder.received) == 3
    # exact: small whole numbers, which floats hold
    assert all(torch.equal(train["video"].features.sum(dim=2), torch.ones(12, 2)) for train, _ in recorder.received)
    assert [row.processing for row in rows] == ["-", "-", "-, as it is"]


def test_models_without_what_is_asked_for_take_no_part(tmp_path: Path):
    models = [model("a", Planted(3))]
    context = made_context(tmp_path, models)
    for request in (replace(REQUEST, layer="projected"), FeatureRequest("audio")):  # type: ignore[arg-type]
        assert run(context, Retrieval("retrieval", request, request, "cosine")) == []


def test_unreadable_test_items_count_as_wrong_and_unreadable_training_items_do_not_train(tmp_path: Path):
    labeled = labeled_set(24)
    fold = labeled.folds[0]
    bad = [f"{int(fold.test[0])}.mp4", f"{int(fold.train[0])}.mp4", f"{int(fold.train[1])}.mp4"]
    models = [model("a", Planted(3))]
    context = made_context(tmp_path, models, labeled, reader=FakeReader(bad=bad), count_unreadable=True)
    rows = run(context)
    assert value(rows, "a") == pytest.approx(100 * 11 / 12)
    assert {row.n for row in rows} == {12}
    recorder = Recorder([])
    run(context, recorder)
    assert len(recorder.received[0][0]["video"]) == 10


def test_a_measure_of_readable_items_is_extended_by_zeros():
    readable = torch.tensor([True, False, True, True])
    metric = counting_as_wrong(mean_metric("x", torch.tensor([100.0, 0.0, 50.0])), readable)
    full = mean_metric("x", torch.tensor([100.0, 0.0, 0.0, 50.0]))
    weights = torch.tensor([[1, 1, 1, 1], [2, 0, 1, 1], [0, 4, 0, 0], [0, 1, 2, 1]], dtype=torch.float64)
    assert torch.allclose(metric.statistic(weights), full.statistic(weights))
    assert metric.value == full.value == 37.5
    assert metric.items == 4


def test_several_models_stand_in_their_order(tmp_path: Path):
    models: list[EvaluatedModel] = [
        model("b", Planted(3)),
        model("a", Colors()),
        model("x", Noise(), "baseline"),
    ]
    rows = run(made_context(tmp_path, models))
    assert list(dict.fromkeys(row.model for row in rows)) == ["b", "a", "x"]
    assert next(row.processing for row in rows if row.model == "x") == "standardized"
