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
from stica_pv.evaluation.online_knn import OnlineKnn, choose_videos, online_knn_from_config
from stica_pv.tasks import Task

EPOCHS = 2
ON: dict[str, Any] = {"TEST__ONLINE_KNN_EPOCHS": 1, "SOLVER__MAX_EPOCH": EPOCHS}
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


def online(clips: Path, folder: Path, **overrides: Any) -> OnlineKnn:
    cfg, videos, task = opened(clips, folder, **overrides)
    found = online_knn_from_config(cfg, task, videos, CPU)
    assert found is not None
    return found


def test_training_is_the_same_bit_for_bit(evaluated_run: Path, clips_folder: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path, SOLVER__MAX_EPOCH=EPOCHS)
    steps, epochs = lines_of(evaluated_run)
    assert (steps, []) == lines_of(tmp_path)
    assert_same_weights(weights(evaluated_run), weights(tmp_path))
    assert [line["epoch_end"] for line in epochs] == [1, 2]
    assert all(0 <= line["online_knn/top1"] <= 100 for line in epochs)
    stats = [json.loads(line) for line in (evaluated_run / "json_stats.log").read_text().splitlines()]
    assert [line["step"] for line in stats if line["_type"] == "val_epoch"] == [3, 6]


def test_a_run_in_parts_has_the_same_curve(evaluated_run: Path, clips_folder: Path, tmp_path: Path):
    for steps in (3, 4, 0):
        run_tiny(clips_folder, tmp_path, TRAIN__MAX_STEPS=steps, **ON)
    assert (tmp_path / "metrics.jsonl").read_text() == (evaluated_run / "metrics.jsonl").read_text()
    assert_same_weights(weights(tmp_path), weights(evaluated_run))


def test_workers_and_batches_change_nothing(evaluated_run: Path, clips_folder: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path, DATA_LOADER__NUM_WORKERS=2, TEST__BATCH_SIZE=3, **ON)
    assert lines_of(tmp_path) == lines_of(evaluated_run)


def test_the_task_is_left_as_it_was(clips_folder: Path, tmp_path: Path):
    found = online(clips_folder, tmp_path)
    found.task.train()
    before = {name: value.clone() for name, value in found.task.state_dict().items()}
    state, modes = torch.get_rng_state(), [module.training for module in found.task.modules()]
    assert set(found(1)) == {"online_knn/top1"}
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
    sources = [
        {Path(found.dataset.paths[i]).name.split("_")[2] for i in side.tolist()}
        for side in (found.gallery, found.queries)
    ]
    assert sources[0]
    assert sources[1]
    assert not sources[0] & sources[1]
    assert sorted([*found.gallery.tolist(), *found.queries.tolist()]) == list(range(12))


def test_the_hold_out_is_of_the_training_list(clips_folder: Path, tmp_path: Path):
    train = {line.split()[0] for line in (clips_folder / "train.csv").read_text().splitlines()}
    assert {Path(path).name for path in online(clips_folder, tmp_path).dataset.paths} <= train


def test_it_runs_when_it_is_due(clips_folder: Path, tmp_path: Path):
    found = online(clips_folder, tmp_path, TEST__ONLINE_KNN_EPOCHS=2)
    assert [bool(found(epoch)) for epoch in (1, 2, 3, 4)] == [False, True, False, True]
    cfg, videos, task = opened(clips_folder, tmp_path, TEST__ONLINE_KNN_EPOCHS=0)
    assert online_knn_from_config(cfg, task, videos, CPU) is None


def test_perfect_features_give_100(clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = online(clips_folder, tmp_path)

    class Oracle(torch.nn.Module):
        """Knows the class of a clip by its brightness: that of clip i is 40 + 10 i."""

        def forward(self, video: torch.Tensor) -> torch.Tensor:
            numbers = (video.flatten(1).float().median(dim=1).values / 10 - 4).round().long()
            return torch.eye(3)[numbers % 3]

    monkeypatch.setattr(found.task, "encoders", lambda: {"video": Oracle()})
    assert found(1) == {"online_knn/top1": 100.0}


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
    assert set(found(1)) == {"online_knn/top1"}
    assert "excludes 1 unreadable videos" in caplog.text


def test_a_list_without_labels_is_refused_in_one_line(clips_folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"TEST.ONLINE_KNN_EPOCHS 1 needs labels, but the training list has none"):
        run_tiny(clips_folder, tmp_path, TRAIN__DATASET="folder", **ON)


def test_one_source_for_each_class_is_refused_in_one_line(clips_folder: Path, tmp_path: Path):
    folder = shutil.copytree(clips_folder, tmp_path / "clips")
    lines = [f"clip{number:02}.mp4 {number}\n" for number in range(12)]
    (folder / "train.csv").write_text("".join(lines))
    with pytest.raises(UsageError, match="TEST.ONLINE_KNN_EPOCHS: of 12 training videos every class comes from one"):
        run_tiny(folder, tmp_path / "out", **ON)
    assert not (tmp_path / "out" / "metrics.jsonl").exists()
