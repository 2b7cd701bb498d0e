from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_videos import (
    CLIP_FORMAT,
    CPU,
    Colors,
    FakeReader,
    Loudness,
    Noise,
    Normed,
    Planted,
    labeled_set,
    made_context,
    model,
)

from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.data.sources.labeled import LabeledSet
from stica_pv.errors import RunFailed, UsageError
from stica_pv.evaluation import feature_passes as feature_passes
from stica_pv.evaluation.context import EvaluationContext, FeatureJob
from stica_pv.evaluation.evaluated_model import EvaluatedModel
from stica_pv.evaluation.feature_passes import extract_features
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.requests import FeatureRequest

ALL = torch.arange(24)
REQUEST = FeatureRequest(clips=2)


def extracted(
    context: EvaluationContext, model: EvaluatedModel, request: FeatureRequest = REQUEST, items: torch.Tensor = ALL
) -> Any:
    extract_features([FeatureJob(model, request, items)], context)
    return context.features(model, request, items)


def test_features_come_with_the_labels_and_sources_of_their_items(tmp_path: Path):
    context = made_context(tmp_path, [evaluated := model("a", Planted(3))])
    found = extracted(context, evaluated, items=torch.tensor([7, 3, 11]))
    assert found.features[:, 0].argmax(dim=1).tolist() == found.labels.tolist() == [1, 0, 2]
    assert found.groups.tolist() == [2, 1, 3]


def test_files_are_read_once_for_all_models_that_see_them_alike(tmp_path: Path):
    reader = FakeReader()
    models = [model("a", Colors()), model("b", Noise())]
    context = made_context(tmp_path, models, reader=reader)
    extract_features([FeatureJob(evaluated, REQUEST, ALL) for evaluated in models], context)
    assert len(reader.paths) == 24
    other = model("c", Colors(), clip_format=replace(CLIP_FORMAT, frames=3))
    extract_features([FeatureJob(other, REQUEST, ALL), FeatureJob(models[0], REQUEST, ALL)], context)
    assert len(reader.paths) == 48


def test_features_on_disk_are_used_again_and_only_what_is_missing_is_read(tmp_path: Path):
    evaluated = model("a", Planted(3))
    extracted(made_context(tmp_path, [evaluated]), evaluated, items=ALL[:10])
    reader = FakeReader()
    context = made_context(tmp_path, [evaluated], reader=reader)
    found = extracted(context, evaluated)
    assert sorted(reader.paths, key=len) == sorted((f"{i}.mp4" for i in range(10, 24)), key=len)
    assert torch.equal(found.features[:, 0].argmax(dim=1), found.labels)
    assert len(list((tmp_path / "features").iterdir())) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"model": model("a", Noise())},
        {"request": replace(REQUEST, clips=3)},
        {"request": replace(REQUEST, average=False)},
        {"labeled": labeled_set(classes=4)},
        {"model": model("a", Planted(3), clip_format=replace(CLIP_FORMAT, fps=5.0))},
    ],
    ids=["weights", "clips", "averaging", "data set", "clip settings"],
)
def test_another_network_data_set_view_or_clip_is_extracted_anew(tmp_path: Path, change: dict[str, Any]):
    evaluated = model("a", Planted(3))
    extracted(made_context(tmp_path, [evaluated]), evaluated)
    reader = FakeReader()
    context = made_context(tmp_path, [evaluated], change.get("labeled"), reader=reader)
    extracted(context, change.get("model", evaluated), change.get("request", REQUEST))
    assert len(reader.paths) == 24


@pytest.mark.parametrize("change", ["size_bytes", "mtime_ns"])
def test_files_of_another_size_or_time_are_other_files(tmp_path: Path, change: str):
    evaluated = model("a", Planted(3))
    context = made_context(tmp_path, [evaluated])
    extracted(context, evaluated)
    reader = FakeReader()
    again = made_context(tmp_path, [evaluated], reader=reader)
    facts = [replace(fact, **{change: 2}) for fact in again._headers]
    again = EvaluationContext(again.labeled, [evaluated], MediaInfoTable(facts), folder=tmp_path, seed=0,
                  reader_of=again._reader_of, loading=again.loading, store=again.store)  # fmt: skip
    extracted(again, evaluated)
    assert len(reader.paths) == 24


def test_seeds_count_only_where_something_is_drawn(tmp_path: Path):
    evaluated = model("a", Planted(3))
    jobs = [FeatureJob(evaluated, replace(REQUEST, transform=name), ALL) for name in ("fixed", "augmented")]  # type: ignore[arg-type]
    first, second = (made_context(tmp_path, [evaluated], seed=seed) for seed in (0, 1))
    assert first.settings(jobs[0]) == second.settings(jobs[0])
    assert first.settings(jobs[1]) != second.settings(jobs[1])


def test_an_interrupted_extraction_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feature_passes, "ITEMS_AT_ONCE", 5)
    evaluated = model("a", Planted(3))

    class Ending(FakeReader):
        def __call__(self, path: str, requests: Any) -> Any:
            if path == "12.mp4":
                raise KeyboardInterrupt
            return super().__call__(path, requests)

    with pytest.raises(KeyboardInterrupt):
        extracted(made_context(tmp_path, [evaluated], reader=Ending()), evaluated)
    reader = FakeReader()
    found = extracted(made_context(tmp_path, [evaluated], reader=reader), evaluated)
    assert reader.paths == [f"{i}.mp4" for i in range(10, 24)]
    assert torch.equal(found.features[:, 0].argmax(dim=1), found.labels)


def test_an_item_that_cannot_be_read_ends_the_run_by_name_and_is_tried_again(tmp_path: Path):
    evaluated = model("a", Planted(3))
    with pytest.raises(
        UsageError, match=r"2 of 24 items of made cannot be read: 5\.mp4: torn; 9\.mp4: torn.*COUNT_UNR"
    ):
        extracted(made_context(tmp_path, [evaluated], reader=FakeReader(bad=["5.mp4", "9.mp4"])), evaluated)
    reader = FakeReader()
    found = extracted(made_context(tmp_path, [evaluated], reader=reader), evaluated)
    assert sorted(reader.paths) == ["5.mp4", "9.mp4"]
    assert not found.features.isnan().any()


def test_the_first_item_of_a_part_may_be_mended_before_the_other_parts_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(feature_passes, "ITEMS_AT_ONCE", 5)
    evaluated = model("a", Planted(3))
    with pytest.raises(UsageError, match=r"0\.mp4: torn"):
        extracted(made_context(tmp_path, [evaluated], reader=FakeReader(bad=["0.mp4"])), evaluated)
    reader = FakeReader()
    found = extracted(made_context(tmp_path, [evaluated], reader=reader), evaluated)
    assert reader.paths == ["0.mp4", *(f"{i}.mp4" for i in range(5, 24))]
    assert torch.equal(found.features[:, 0].argmax(dim=1), found.labels)


def test_items_that_were_never_read_are_not_taken_for_unreadable_ones(tmp_path: Path):
    context = made_context(tmp_path, [evaluated := model("a", Planted(3))])
    extract_features([FeatureJob(evaluated, REQUEST, ALL[:20])], context)
    with pytest.raises(UsageError, match=r"lack 4 of the 24 required items of made, such as 20\.mp4"):
        context.features(evaluated, REQUEST, ALL)


def test_unreadable_items_are_rows_of_nan_where_that_is_allowed(tmp_path: Path):
    evaluated = model("a", Planted(3))
    for _ in range(2):
        reader = FakeReader(bad=["5.mp4"])
        context = made_context(tmp_path, [evaluated], reader=reader, count_unreadable=True)
        found = extracted(context, evaluated)
        assert found.features.isnan().all(dim=2)[:, 0].tolist() == [i == 5 for i in range(24)]
        assert context.unreadable(FeatureJob(evaluated, REQUEST, ALL)) == {5: "torn"}
    assert reader.paths == []  # it was tried once, that is enough


def test_missing_audio_is_reported_before_anything_is_read(tmp_path: Path):
    encoders = {"audio": Loudness()}
    evaluated = EvaluatedModel("a", "trained", encoders, CLIP_FORMAT, "hash")
    reader, request = FakeReader(), FeatureRequest("audio", clips=2)
    with pytest.raises(UsageError, match=r"1 of 24 items of made cannot be read: 3\.mp4: no audio stream"):
        extracted(made_context(tmp_path, [evaluated], reader=reader, silent=["3.mp4"]), evaluated, request)
    assert reader.paths == []
    context = made_context(tmp_path, [evaluated], reader=reader, silent=["3.mp4"], count_unreadable=True)
    found = extracted(context, evaluated, request)
    assert found.features.isnan().any(dim=2)[:, 0].tolist() == [i == 3 for i in range(24)]
    assert "3.mp4" not in reader.paths
    assert context.unreadable(FeatureJob(evaluated, request, ALL)) == {3: "no audio stream"}


def test_when_no_item_at_all_can_be_read_the_run_ends(tmp_path: Path):
    evaluated = EvaluatedModel("a", "trained", {"audio": Loudness()}, CLIP_FORMAT, "hash")
    silent = [f"{i}.mp4" for i in range(24)]
    context = made_context(tmp_path, [evaluated], silent=silent, count_unreadable=True)
    with pytest.raises(UsageError, match="none of the 24 required items"):
        extracted(context, evaluated, FeatureRequest("audio", clips=2))


def test_frames_are_of_no_concern_to_audio_and_the_other_way_round(tmp_path: Path):
    evaluated = model("a", Planted(3))
    context = made_context(tmp_path, [evaluated], silent=["3.mp4"])
    assert not extracted(context, evaluated).features.isnan().any()


def test_only_re_estimated_networks_are_changed_and_as_a_copy(tmp_path: Path):
    encoder = Normed()
    before = encoder.norm.running_mean.clone()  # type: ignore[union-attr]
    plain = model("random_init", encoder, "random")
    context = made_context(tmp_path, [plain, again := replace(plain, reestimate=True)])
    extract_features([FeatureJob(evaluated, REQUEST, ALL) for evaluated in (plain, again)], context)
    # exact: left alone, not calculated
    assert torch.equal(encoder.norm.running_mean, before)  # type: ignore[arg-type]
    assert not torch.allclose(
        *(context.features(evaluated, REQUEST, ALL).features for evaluated in (plain, again)), atol=1e-3
    )


def test_statistics_are_re_estimated_on_training_items_only(tmp_path: Path):
    reader, labeled = FakeReader(), labeled_set(24, folds=2)
    evaluated = model("random_init", Normed(), "random", reestimate=True)
    context = made_context(tmp_path, [evaluated], labeled, reader=reader)
    context.encoder(evaluated, "video")
    assert sorted(reader.paths) == sorted(f"{i}.mp4" for i in labeled.folds[0].train.tolist())


def test_batch_size_and_workers_change_no_feature(tmp_path: Path):
    evaluated = model("random_init", Normed(), "random", reestimate=True)
    found = []
    for clips_at_once, workers in ((1, 0), (64, 0), (7, 2)):
        context = made_context(tmp_path / str(clips_at_once), [evaluated], loading=Loading(CPU, clips_at_once, workers))
        found.append(extracted(context, evaluated).features)
    for other in found[1:]:
        assert torch.allclose(found[0], other, rtol=0, atol=1e-6)


def test_sets_of_several_labels_are_taken(tmp_path: Path):
    labels = torch.eye(3, dtype=torch.bool)[torch.arange(24) % 3]
    labeled: LabeledSet = labeled_set(labels=labels)
    context = made_context(tmp_path, [evaluated := model("a", Planted(3))], labeled)
    assert torch.equal(extracted(context, evaluated).labels, labels)


def test_a_network_that_diverged_is_reported_and_not_taken_for_unreadable_items(tmp_path: Path):
    class Diverged(Colors):
        def forward(self, video: torch.Tensor) -> torch.Tensor:
            return super().forward(video) * torch.nan

    evaluated = model("a", Diverged())
    with pytest.raises(RunFailed, match=r"features of a are not finite"):
        extracted(
            made_context(tmp_path, [evaluated], reader=FakeReader(bad=["5.mp4"]), count_unreadable=True), evaluated
        )
