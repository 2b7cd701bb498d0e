"""The curve of pre-training: it changes nothing that trains, sees training videos alone, and survives a resume."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import assert_same_weights, run_tiny, tiny_cfg, weights

from stica_pv.data.manifest.videos import Videos, list_from_config, open_videos
from stica_pv.engine.build_task import create_task
from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.online import OnlineEvaluation, choose_videos, online_from_config, probe_scores, ranks
from stica_pv.evaluation.protocols.ridge import RIDGE_STRENGTHS, ridge_scores
from stica_pv.evaluation.splits import can_hold_out, grouped_holdout
from stica_pv.tasks import Task

EPOCHS = 2
ON: dict[str, Any] = {"TEST__ONLINE_KNN_EPOCHS": 1, "TEST__ONLINE_KNN_CLIPS": 2, "SOLVER__MAX_EPOCH": EPOCHS}
NAMES = {"online_knn/top1", "online_linear/top1", "rankme_video", "lidar_video"}
CPU = torch.device("cpu")


def lines_of(output: Path) -> tuple[list[str], list[dict[str, float]]]:
    """Lines of steps as they stand, and those of epochs."""
    lines = (output / "metrics.jsonl").read_text().splitlines()
    return [line for line in lines if "epoch_end" not in line], [json.loads(s) for s in lines if "epoch_end" in s]


@pytest.fixture(scope="module")
def evaluated_run(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("evaluated")
    run_tiny(clips_folder, folder, **ON)
    return folder


def opened(clips: Path, folder: Path, **overrides: Any) -> tuple[Any, Videos, Task]:
    cfg = tiny_cfg(clips, folder, **{**ON, **overrides})
    listed = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT)
    videos = open_videos(listed, manifest=folder / "manifest.csv", min_seconds=0.0, needs_audio=False)
    return cfg, videos, create_task(cfg)


def online(clips: Path, folder: Path, **overrides: Any) -> OnlineEvaluation:
    cfg, videos, task = opened(clips, folder, **overrides)
    found = online_from_config(cfg, task, videos, CPU)
    assert found is not None
    return found


def test_training_is_the_same_bit_for_bit(evaluated_run: Path, clips_folder: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path, SOLVER__MAX_EPOCH=EPOCHS)
    steps, epochs = lines_of(evaluated_run)
    assert (steps, []) == lines_of(tmp_path)
    assert_same_weights(weights(evaluated_run), weights(tmp_path))
    assert [line["epoch_end"] for line in epochs] == [1, 2]
    assert all(set(line) == {"step", "epoch_end", *NAMES} for line in epochs)
    assert all(0 <= line[f"online_{probe}/top1"] <= 100 for line in epochs for probe in ("knn", "linear"))
    assert all(0.99 < line[f"{rank}_video"] <= 512 for line in epochs for rank in ("rankme", "lidar"))
    stats = [json.loads(line) for line in (evaluated_run / "json_stats.log").read_text().splitlines()]
    assert [line["step"] for line in stats if line["_type"] == "val_epoch"] == [3, 6]


def test_a_run_in_parts_has_the_same_curve(evaluated_run: Path, clips_folder: Path, tmp_path: Path):
    for steps in (3, 4, 0):
        run_tiny(clips_folder, tmp_path, TRAIN__MAX_STEPS=steps, **ON)
    assert (tmp_path / "metrics.jsonl").read_text() == (evaluated_run / "metrics.jsonl").read_text()
    assert_same_weights(weights(tmp_path), weights(evaluated_run))


def test_workers_and_batches_change_nothing(evaluated_run: Path, clips_folder: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path, DATA_LOADER__NUM_WORKERS=2, TEST__BATCH_SIZE=3, **ON)
    (steps, epochs), (expected_steps, expected) = lines_of(tmp_path), lines_of(evaluated_run)
    assert steps == expected_steps
    for line, first in zip(epochs, expected, strict=True):
        assert line == pytest.approx(first, rel=1e-4)  # batches of other sizes round differently


def test_the_task_is_left_as_it_was(clips_folder: Path, tmp_path: Path):
    found = online(clips_folder, tmp_path)
    found.task.train()
    before = {name: value.clone() for name, value in found.task.state_dict().items()}
    state, modes = torch.get_rng_state(), [module.training for module in found.task.modules()]
    assert set(found(1)) == NAMES
    assert torch.equal(torch.get_rng_state(), state)  # exact: left alone, not calculated
    assert [module.training for module in found.task.modules()] == modes
    assert_same_weights(found.task.state_dict(), before)
    assert all(parameter.requires_grad for parameter in found.task.parameters())


def test_only_training_videos_are_used_and_no_source_is_on_both_sides(clips_folder: Path, tmp_path: Path):
    folder = tmp_path / "clips"
    folder.mkdir()
    lines = []
    for number, path in enumerate(sorted(clips_folder.glob("*.mp4"))[:12]):
        name = f"v_{number % 3}_g{number // 4}_c{number}.mp4"
        shutil.copy(path, folder / name)
        lines.append(f"{name} {number % 2}\n")
    (folder / "train.csv").write_text("".join(lines))
    found = online(folder, tmp_path / "out", DATA__GROUP_PATTERN=r"_g(?P<source>\d+)_")
    assert sorted(found.dataset.paths) == sorted(str(path) for path in folder.glob("*.mp4"))
    assert found.held is not None
    sources = [
        {Path(found.dataset.paths[i]).name.split("_")[2] for i in side.tolist()}
        for side in (found.held.gallery, found.held.queries)
    ]
    assert sources[0]
    assert sources[1]
    assert not sources[0] & sources[1]
    assert sorted([*found.held.gallery.tolist(), *found.held.queries.tolist()]) == list(range(12))


def test_the_hold_out_is_of_the_training_list(clips_folder: Path, tmp_path: Path):
    train = {line.split()[0] for line in (clips_folder / "train.csv").read_text().splitlines()}
    assert {Path(path).name for path in online(clips_folder, tmp_path).dataset.paths} <= train


def test_it_runs_when_it_is_due(clips_folder: Path, tmp_path: Path):
    found = online(clips_folder, tmp_path, TEST__ONLINE_KNN_EPOCHS=2)
    assert [bool(found(epoch)) for epoch in (1, 2, 3, 4)] == [False, True, False, True]
    cfg, videos, task = opened(clips_folder, tmp_path, TEST__ONLINE_KNN_EPOCHS=0)
    assert online_from_config(cfg, task, videos, CPU) is None


def test_perfect_features_give_100(clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = online(clips_folder, tmp_path)

    class Oracle(torch.nn.Module):
        """Knows the class of a clip by its brightness: that of clip i is 40 + 10 i."""

        def forward(self, video: torch.Tensor) -> torch.Tensor:
            numbers = (video.flatten(1).float().median(dim=1).values / 10 - 4).round().long()
            return torch.eye(3)[numbers % 3]

    monkeypatch.setattr(found.task, "encoders", lambda: {"video": Oracle()})
    numbers = found(1)
    assert (numbers["online_knn/top1"], numbers["online_linear/top1"]) == (100.0, 100.0)
    assert numbers["rankme_video"] == pytest.approx(3, abs=0.1)  # three classes, one direction each


def test_at_most_so_many_videos_are_taken_source_by_source():
    groups = torch.arange(60) // 5
    chosen = choose_videos(groups, 12, seed=0)
    assert len(chosen) == 12
    assert chosen.tolist() == sorted(set(chosen.tolist()))  # exact: integers
    counts = groups[chosen].bincount(minlength=12).tolist()
    assert sorted(counts)[-3:] == [2, 5, 5]
    assert choose_videos(groups, 12, seed=1).tolist() != chosen.tolist()
    assert len(choose_videos(groups, 1000, seed=0)) == 60


def test_a_video_that_cannot_be_read_is_left_out(clips_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = shutil.copytree(clips_folder, tmp_path / "clips")
    found = online(folder, tmp_path / "out")
    (folder / "clip03.mp4").write_bytes(b"rubbish")
    assert set(found(1)) == NAMES
    assert "excludes 1 unreadable videos" in caplog.text


def test_without_labels_or_with_one_clip_the_other_numbers_remain(clips_folder: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path, TRAIN__DATASET="folder", **ON, TRAIN__MAX_STEPS=4)
    (line,) = lines_of(tmp_path)[1]
    assert set(line) == {"step", "epoch_end", "rankme_video", "lidar_video"}
    views = torch.randn(4, 1, 3, generator=torch.Generator().manual_seed(0))
    assert set(ranks(views)) == {"rankme_video"}
    assert ranks(views[:0]) == {}


def test_the_probe_equals_a_written_out_ridge_regression():
    rng = torch.Generator().manual_seed(0)
    labels, groups = torch.arange(24) % 3, torch.arange(24)
    rows, queries = torch.randn(24, 5, generator=rng), torch.randn(4, 5, generator=rng)
    found = probe_scores(FeatureSet(rows.unsqueeze(1), labels, groups), queries, seed=0)

    def written_out(strength: float) -> torch.Tensor:
        unit = [row / row.square().sum().sqrt() for row in rows.double()]
        mean = sum(unit) / len(unit)  # type: ignore[arg-type]
        gram = sum(torch.outer(row - mean, row - mean) for row in unit)
        gram = gram + strength * gram.trace() / 5 * torch.eye(5)  # type: ignore[union-attr]
        scores = torch.zeros(len(queries), 3)
        for label in range(3):
            targets = [float(label == own) for own in labels]
            share = sum(targets) / len(targets)
            right = sum((row - mean) * (target - share) for row, target in zip(unit, targets, strict=True))
            weight = torch.linalg.inv(gram) @ right
            for i, query in enumerate(queries.double()):
                scores[i, label] = (query / query.square().sum().sqrt() - mean) @ weight + share
        return scores

    distances = [float((written_out(strength) - found).abs().max()) for strength in RIDGE_STRENGTHS]
    assert min(distances) < 1e-5


def test_a_probe_whose_strength_cannot_be_chosen_uses_the_middle_one():
    rows = torch.eye(3).unsqueeze(1)
    items = FeatureSet(rows, torch.arange(3), torch.arange(3))
    assert not can_hold_out(items.labels, items.groups)
    expected = ridge_scores(rows[:, 0], items.labels, rows[:, 0], strength=RIDGE_STRENGTHS[1])
    torch.testing.assert_close(probe_scores(items, rows[:, 0], seed=0), expected)


@pytest.mark.parametrize("seed", range(8))
def test_can_hold_out_agrees_with_the_hold_out(seed: int):
    rng = torch.Generator().manual_seed(seed)
    labels, groups = torch.randint(4, (7,), generator=rng), torch.randint(5, (7,), generator=rng)
    try:
        grouped_holdout(labels, groups)
    except UsageError:
        assert not can_hold_out(labels, groups)
    else:
        assert can_hold_out(labels, groups)


def test_one_source_for_each_class_is_refused_in_one_line(clips_folder: Path, tmp_path: Path):
    folder = shutil.copytree(clips_folder, tmp_path / "clips")
    lines = [f"clip{number:02}.mp4 {number}\n" for number in range(12)]
    (folder / "train.csv").write_text("".join(lines))
    with pytest.raises(UsageError, match="TEST.ONLINE_KNN_EPOCHS: of 12 training videos every class comes from one"):
        run_tiny(folder, tmp_path / "out", **ON)
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
