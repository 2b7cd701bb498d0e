"""Runs with loader workers: started either way they give one run, and signals leave no process behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from processes_of_session import all_ended, processes_of_session
from tiny_runs import REPOSITORY, arguments, assert_same_weights, metrics_text, run_tiny, weights, write_tiny

from stica_pv.data.decoding.reader import read
from stica_pv.data.manifest.bad_files import read_bad_files

PATIENCE_S = 300
HANGS_S = 30


def until(what, process: subprocess.Popen[str] | None = None) -> bool:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert process is None or process.poll() is None, process.communicate()
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        pytest.param(signal.SIGINT, True, id="ctrl-c"),
        pytest.param(signal.SIGTERM, False, id="term", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_leaves_no_process_behind(clips_folder: Path, tmp_path: Path, number: int, to_all: bool):
    settings = arguments(clips_folder, tmp_path / "run", DATA_LOADER__NUM_WORKERS=2, SOLVER__MAX_EPOCH=100_000)
    command = [sys.executable, str(REPOSITORY / "tools" / "run_net.py"), "--cfg", str(write_tiny(tmp_path / "t.yaml"))]
    process = subprocess.Popen(
        [*command, *settings], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    assert until(lambda: metrics.is_file() and metrics_text(metrics.parent).count("\n") >= 2, process)
    assert len(processes_of_session(process.pid)) >= 1 + 2 * 2  # two workers with a reader process each
    (os.killpg if to_all else os.kill)(process.pid, number)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode >= 0  # it ended itself
    assert all_ended(process.pid)


@pytest.mark.slow
def test_a_file_that_hangs_is_remembered_when_a_run_goes_on(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    bad = (clips_folder / "train.csv").read_text().split()[0]

    def reader(path, requests, **settings):
        if Path(path).name == bad:
            with (tmp_path / "tries").open("a") as file:
                file.write("x")
            time.sleep(HANGS_S)
        return read(path, requests, **settings)

    monkeypatch.setattr("stica_pv.data.config.read", reader)
    settings = {"DATA__READ_TIMEOUT_SECONDS": 1.0, "DATA_LOADER__NUM_WORKERS": 1, "DATA__MAX_BAD_SHARE": 0.1}
    run_tiny(clips_folder, tmp_path / "straight", **settings)
    run_tiny(clips_folder, tmp_path / "parts", TRAIN__MAX_STEPS=3, **settings)  # an epoch
    assert (tmp_path / "tries").read_text() == "xx"
    run_tiny(clips_folder, tmp_path / "parts", **settings)
    assert (tmp_path / "tries").read_text() == "xx"
    # exact: the same code with the same shapes, interrupted or not
    assert metrics_text(tmp_path / "parts") == metrics_text(tmp_path / "straight")
    assert_same_weights(weights(tmp_path / "parts"), weights(tmp_path / "straight"))
    for run in ("straight", "parts"):
        [row] = read_bad_files(tmp_path / run / "bad_files.csv")
        assert (row["stage"], Path(row["path"]).name, row["cause"]) == ("read", bad, "time-out after 1 s")


@pytest.mark.slow
def test_a_killed_run_leaves_no_process_behind(clips_folder: Path, tmp_path: Path):
    settings = arguments(clips_folder, tmp_path / "run", DATA_LOADER__NUM_WORKERS=1, SOLVER__MAX_EPOCH=100_000)
    command = [sys.executable, str(REPOSITORY / "tools" / "run_net.py"), "--cfg", str(write_tiny(tmp_path / "t.yaml"))]
    process = subprocess.Popen([*command, *settings], stdout=subprocess.DEVNULL, start_new_session=True)
    metrics = tmp_path / "run" / "metrics.jsonl"
    assert until(lambda: metrics.is_file() and metrics_text(metrics.parent).count("\n") >= 1)
    process.kill()
    process.wait()
    assert all_ended(process.pid)


@pytest.mark.slow  # a spawned worker imports torch anew
def test_spawned_workers_give_the_run_of_forked_ones(clips_folder: Path, tmp_path: Path):
    settings: dict[str, Any] = {"DATA_LOADER__NUM_WORKERS": 1, "TRAIN__MAX_STEPS": 3, "TEST__ENABLE": True}
    settings |= {"TEST__EVALUATIONS": ["retrieval"], "TEST__NUM_ENSEMBLE_VIEWS": 1}
    forked, spawned = (
        run_tiny(clips_folder, tmp_path / method, DATA_LOADER__START_METHOD=method, **settings)
        for method in ("fork", "spawn")
    )
    assert forked == spawned
    # exact: the same code with the same shapes, twice
    assert metrics_text(tmp_path / "spawn") == metrics_text(tmp_path / "fork")
