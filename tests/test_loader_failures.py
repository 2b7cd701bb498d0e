"""A loader that fails ends a run in one line, with its last step saved, and the same command continues it."""

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from processes_of_session import all_ended
from tiny_runs import REPOSITORY, arguments, assert_same_weights, metrics_text, run_tiny, weights, write_tiny

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.engine import training
from stica_pv.engine.checkpoint import list_checkpoints, step_of
from stica_pv.errors import LoaderFailed

TOOL = REPOSITORY / "tools" / "run_net.py"
PATIENCE_S = 200
# The sample of key (1, 3) is one of the second epoch, of three steps.
BUG = """
from stica_pv.data.loading.dataset import ClipDataset
plain = ClipDataset.__getitem__
def fail(self, key):
    if (key.epoch, key.index) == (1, 3):
        raise KeyError("the user's bug")
    return plain(self, key)
ClipDataset.__getitem__ = fail
"""
SETTINGS: dict[str, Any] = {"DATA_LOADER__NUM_WORKERS": 1, "TRAIN__MAX_STEPS": 6}


def assert_continues(clips: Path, folder: Path, straight: Path) -> None:
    for run in (folder, straight):
        run_tiny(clips, run, **SETTINGS)
    # exact: a resumed run is the straight one bit for bit
    assert metrics_text(folder) == metrics_text(straight)
    assert_same_weights(weights(folder), weights(straight))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_the_loader_saves_the_last_step(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
):
    folder, plain = tmp_path / "run", ClipDataset.__getitem__

    def fail(self, key):
        if (key.epoch, key.index) == (1, 3):
            raise KeyError("the user's bug")
        return plain(self, key)

    with monkeypatch.context() as patch:
        patch.setattr(ClipDataset, "__getitem__", fail)
        with pytest.raises(LoaderFailed, match=r"the loader failed: KeyError: \"the user's bug\" \(test_loader_f"):
            run_tiny(clips_folder, folder, **SETTINGS | {"DATA_LOADER__NUM_WORKERS": workers})
    assert not multiprocessing.active_children()
    assert step_of(list_checkpoints(folder)[-1]) == metrics_text(folder).count("\n") >= 3
    assert_continues(clips_folder, folder, tmp_path / "straight")


def test_a_worker_that_is_killed_while_a_checkpoint_is_written_does_not_spoil_it(
    clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder, plain = tmp_path / "run", training.save_checkpoint

    def save(path: Path, *args: Any, **settings: Any) -> None:
        for worker in multiprocessing.active_children():
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
        plain(path, *args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_checkpoint", save)
        with pytest.raises(LoaderFailed, match=r"was killed by signal 9 \(SIGKILL\), probably because memory ran out"):
            run_tiny(clips_folder, folder, **SETTINGS)
    assert step_of(list_checkpoints(folder)[-1]) == 4  # whose batch had come before
    assert_continues(clips_folder, folder, tmp_path / "straight")


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_the_command_ends_with_one_line_and_no_process(clips_folder: Path, tmp_path: Path, processes: int):
    (tmp_path / "bug.py").write_text(BUG)
    given = arguments(clips_folder, tmp_path / "run", CPU_PROCESSES=processes, CUSTOM_IMPORTS="['bug']", **SETTINGS)
    command = [sys.executable, str(TOOL), "--cfg", str(write_tiny(tmp_path / "tiny.yaml")), *given]
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, start_new_session=True
    )
    _, errors = run.communicate(timeout=PATIENCE_S)
    assert run.returncode == 1, errors
    line = errors.splitlines()[-1]
    assert line.startswith("failed: " if processes == 1 else "failed: process ")
    assert 'the loader failed: KeyError: "the user\'s bug" (bug.py:6, in fail)' in line
    assert "Traceback" not in errors
    assert all_ended(run.pid)
    assert step_of(list_checkpoints(tmp_path / "run")[-1]) == metrics_text(tmp_path / "run").count("\n") >= 3
    assert "Traceback" in "".join(path.read_text() for path in (tmp_path / "run").glob("stdout*.log"))


def may_mount() -> bool:
    try:
        return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not may_mount(), reason="needs unshare, and the right to mount a small /dev/shm")
def test_a_small_shared_memory_of_a_container_is_enough(clips_folder: Path, tmp_path: Path):
    given = arguments(clips_folder, tmp_path / "run", **SETTINGS | {"TRAIN__MAX_STEPS": 2})
    command = [sys.executable, str(TOOL), "--cfg", str(write_tiny(tmp_path / "tiny.yaml")), *given]
    script = f"mount -t tmpfs -o size=64k tmpfs /dev/shm && exec {shlex.join(command)}"  # a batch has 98 KB
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    assert metrics_text(tmp_path / "run").count("\n") == 2
