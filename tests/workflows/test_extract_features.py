"""Features of any list by a checkpoint alone: what the tool writes, and how it answers."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import REPOSITORY, run_tiny

from stica_pv.engine.checkpoint import list_checkpoints


@pytest.fixture(scope="module")
def checkpoint(clips_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("extract") / "run"
    run_tiny(clips_folder, folder, TRAIN__MAX_STEPS=1)
    return list_checkpoints(folder)[-1]


Main = Callable[[list[Any]], int]
TOOL = REPOSITORY / "tools" / "extract_features.py"


@pytest.fixture(scope="module")
def main() -> Main:
    """The tool's entry, in this process."""
    spec = importlib.util.spec_from_file_location("extract_features", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda arguments: module.main([*map(str, arguments)])


def test_every_modality_and_layer_is_a_file_with_names_and_settings(
    clips_folder: Path, checkpoint: Path, tmp_path: Path, main: Main
):
    arguments = ["--checkpoint", checkpoint, "--data", clips_folder / "test.csv", "--output", tmp_path / "out"]
    arguments += ["--modality", "video", "audio", "--layer", "pooled", "projected", "--clips", 2, "--dtype", "float16"]
    assert main([*arguments, "NUM_GPUS", 0, "DATA_LOADER.NUM_WORKERS", 0]) == 0
    found = {path.stem: np.load(path) for path in (tmp_path / "out").glob("*.npz")}
    assert {name: file["features"].shape for name, file in found.items()} == {
        "video_pooled": (6, 2, 32),
        "video_projected": (6, 2, 8),
        "audio_pooled": (6, 2, 32),
        "audio_projected": (6, 2, 8),
    }
    file = found["video_pooled"]
    assert file["features"].dtype == np.float16
    assert file["names"].tolist() == [f"clip{i}.mp4" for i in range(12, 18)]
    assert file["labels"].tolist() == [0, 1, 2, 0, 1, 2]
    assert file["index"].tolist() == list(range(6))
    settings = json.loads(str(file["settings"]))
    assert settings["checkpoint"] == str(checkpoint)
    assert (settings["layer"], settings["clips"], settings["causes"]) == ("pooled", 2, {})
    assert "frames=4" in settings["clip_format"]


@pytest.mark.slow
def test_two_processes_write_what_one_writes_and_a_folder_needs_no_labels(
    clips_folder: Path, checkpoint: Path, tmp_path: Path
):
    for processes in (1, 2):
        arguments = ["--checkpoint", checkpoint, "--data", clips_folder, "--output", tmp_path / str(processes)]
        arguments += ["--average", "--crops", 3, "--clips", 2, "NUM_GPUS", 0, "CPU_PROCESSES", processes]
        arguments += ["TEST.BATCH_SIZE", 6 * processes, "DATA_LOADER.NUM_WORKERS", processes - 1]
        command = [sys.executable, str(TOOL), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    one, two = (np.load(tmp_path / str(processes) / "video_pooled.npz") for processes in (1, 2))
    assert one["features"].shape == (18, 1, 32)
    assert one["labels"].tolist() == [-1] * 18
    assert np.abs(one["features"] - two["features"]).max() < 1e-6
    norms = torch.from_numpy(one["features"]).norm(dim=2)
    assert float(norms.max()) <= 1 + 1e-6  # means of unit vectors


def test_wrong_requests_end_with_one_line(
    clips_folder: Path, checkpoint: Path, tmp_path: Path, main: Main, capsys: pytest.CaptureFixture[str]
):
    data = ("--data", clips_folder, "--output", tmp_path / "out")
    for arguments, message in (
        (("--checkpoint", tmp_path / "none.pyth", *data, "NUM_GPUS", 0), "there is no such file"),
        (("--checkpoint", checkpoint, *data, "TEST.NUM_ENSEMBLE_VIEWS", 0), "TEST.NUM_ENSEMBLE_VIEWS: got 0"),
        (("--checkpoint", checkpoint, *data, "NUM_GPUS"), "overrides are pairs KEY VALUE"),
    ):
        assert main(list(arguments)) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert len(said.splitlines()) == 1
        assert message in said
    assert not (tmp_path / "out").exists()


def test_features_that_are_not_finite_end_with_one_line_and_code_1(
    clips_folder: Path, checkpoint: Path, tmp_path: Path, main: Main, capsys: pytest.CaptureFixture[str]
):
    diverged = torch.load(checkpoint, weights_only=True)
    for weights in diverged["model"].values():
        if weights.is_floating_point():
            weights.fill_(torch.nan)
    torch.save(diverged, tmp_path / "diverged.pyth")
    arguments = ["--checkpoint", tmp_path / "diverged.pyth", "--data", clips_folder / "test.csv", "--clips", 1]
    assert main([*arguments, "--output", tmp_path / "out", "NUM_GPUS", 0, "DATA_LOADER.NUM_WORKERS", 0]) == 1
    said = capsys.readouterr().err
    assert said.startswith("failed: features of ")
    assert "not finite; the training may have diverged" in said
    assert said.count("\n") == 1


def test_files_that_cannot_be_read_end_the_run_or_are_rows_of_nan(
    clips_folder: Path, checkpoint: Path, tmp_path: Path, main: Main, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"no video")
    (tmp_path / "clips" / "b.mp4").write_bytes((clips_folder / "clip00.mp4").read_bytes())
    arguments = ["--checkpoint", checkpoint, "--data", tmp_path / "clips", "--output", tmp_path / "out"]
    settings = ["--clips", 1, "NUM_GPUS", 0, "DATA_LOADER.NUM_WORKERS", 0]
    assert main([*arguments, *settings]) == 2
    said = capsys.readouterr().err
    assert "1 of 2 items of clips cannot be read: " in said
    assert "a.mp4" in said
    assert main([*arguments, "--keep_going", *settings]) == 0
    file = np.load(tmp_path / "out" / "video_pooled.npz")
    assert np.isnan(file["features"]).all(axis=(1, 2)).tolist() == [True, False]
    assert list(json.loads(str(file["settings"]))["causes"]) == ["0"]


def test_the_folder_of_a_run_is_its_newest_checkpoint_and_an_output_that_cannot_be_written_is_one_line(
    clips_folder: Path, checkpoint: Path, tmp_path: Path, main: Main, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("")
    given = ["--data", clips_folder / "test.csv", "--clips", 1]
    rest = ["NUM_GPUS", 0, "DATA_LOADER.NUM_WORKERS", 0]
    assert main([*given, "--checkpoint", checkpoint, "--output", tmp_path / "file" / "out", *rest]) == 2
    assert f"error: the output folder {tmp_path}/file/out cannot be written" in capsys.readouterr().err
    assert main([*given, "--checkpoint", tmp_path, "--output", tmp_path / "out", *rest]) == 2
    assert f"{tmp_path} has no weights" in capsys.readouterr().err
    assert main([*given, "--checkpoint", checkpoint.parent.parent, "--output", tmp_path / "out", *rest]) == 0
    settings = json.loads(str(np.load(tmp_path / "out" / "video_pooled.npz")["settings"]))
    assert checkpoint.name in json.dumps(settings)
