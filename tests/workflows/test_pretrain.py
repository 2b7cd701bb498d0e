"""The training half of a run: lists that cannot be used, and a task that needs labels."""

import csv
import json
from pathlib import Path

import pytest
from tiny_runs import assert_same_weights, metric, metrics_text, run_tiny, weights

from stica_pv.data.manifest import videos
from stica_pv.data.sources.sources import read_folder
from stica_pv.errors import UsageError
from stica_pv.structures import Views


def test_when_no_file_fits_the_cause_of_each_is_on_disk(clips_folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"none of the 12 files .*see .*bad_files\.csv"):
        run_tiny(clips_folder, tmp_path, DATA__TARGET_FPS=0.1)
    with (tmp_path / "bad_files.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["path"]).name for row in rows] == [f"clip{number:02}.mp4" for number in range(12)]
    assert {row["stage"] for row in rows} == {"excluded"}
    assert all("the recipe needs" in row["cause"] for row in rows)


@pytest.mark.parametrize("rank", [0, 1])
def test_what_the_main_process_finds_wrong_with_a_list_ends_every_process(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: int
):
    said: list[str] = []

    def from_main(text: str) -> str:
        said.append(text)
        return text if rank == 0 else "none of the files can be used"

    monkeypatch.setattr(videos, "is_main", lambda: rank == 0)
    monkeypatch.setattr(videos, "from_main", from_main)
    views = Views((), lambda seconds, rng: {}, min_seconds=1e6, needs_audio=False)
    with pytest.raises(UsageError, match="none of the") as raised:
        videos.open_in_turn(read_folder(path=str(clips_folder)), tmp_path / "manifest.csv", views)
    assert said == [str(raised.value) if rank == 0 else ""]


def test_a_classification_is_trained_like_any_task(clips_folder: Path, tmp_path: Path):
    settings = {"TASK": "classification", "MODEL__NUM_CLASSES": 3, "POOL__NAME": "average"}
    for steps in (2, 0):
        run_tiny(clips_folder, tmp_path / "parts", TRAIN__MAX_STEPS=steps, **settings)
    run_tiny(clips_folder, tmp_path / "straight", **settings)
    # exact: the same code with the same shapes, interrupted or not
    assert metrics_text(tmp_path / "parts") == metrics_text(tmp_path / "straight")
    assert_same_weights(weights(tmp_path / "parts"), weights(tmp_path / "straight"))
    assert len(metric(tmp_path / "straight", "accuracy")) == 6
    assert json.loads((tmp_path / "straight" / "run.json").read_text())["classes"] == 3


def test_a_classification_without_enough_classes_is_refused_before_any_file_is_read(clips_folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="MODEL.NUM_CLASSES is 2, but the list has a label 2"):
        run_tiny(clips_folder, tmp_path, TASK="classification", MODEL__NUM_CLASSES=2)
    assert not (tmp_path / "manifest.csv").exists()
