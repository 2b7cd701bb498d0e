"""The status of runs that run, have ended, were stopped, or failed."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import run_tiny

from stica_pv.commands import status as command
from stica_pv.engine.run_folder import recorded_failure
from stica_pv.errors import RunFailed, RunStopped, UsageError
from stica_pv.launch.status import find_runs, status


def made(folder: Path, *, steps: int = 0, tested: bool = False) -> Path:
    """A run of ten steps in two epochs, as it is after some of them."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(f"TASK: gdt\nTEST:\n  ENABLE: {str(tested).lower()}\n")
    (folder / "run.json").write_text(json.dumps({"steps": 10, "steps_per_epoch": 5}))
    line = {"_type": "train_iter", "step": steps, "loss": 2.5, "step_time": 1.0, "samples_per_second": 4.0}
    if steps:
        (folder / "json_stats.log").write_text(json.dumps(line) + '\n{"_type": "train_it')
    return folder


def lock(folder: Path, pid: int) -> None:
    (folder / "run.lock").write_text(json.dumps({"host": socket.gethostname(), "pid": pid, "job": ""}))


def ended_pid() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


def test_an_unfinished_run_names_steps_epochs_loss_and_age(tmp_path: Path):
    found = status(made(tmp_path / "run", steps=4))
    assert (found["state"], found["step"], found["epoch"]) == (
        "not running; the same command continues",
        "4/10",
        "0.8/2.0",
    )
    assert (found["loss"], found["left"]) == ("2.5", "0:00:06 at this speed")
    assert found["record"].startswith("0:00:")


def test_a_checkpoint_counts_as_progress_without_a_record_of_its_step(tmp_path: Path):
    folder = made(tmp_path / "run", steps=4)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "step_00000007.pyth").write_bytes(b"")
    found = status(folder)
    assert (found["step"], found["epoch"], found["left"]) == ("7/10", "1.4/2.0", "0:00:03 at this speed")


@pytest.mark.parametrize("name", ["run.json", "failure.json", "json_stats.log"])
def test_a_file_with_another_value_than_an_object_is_like_none(name: str, tmp_path: Path):
    folder = made(tmp_path / "run", steps=4)
    (folder / name).write_text("[1]\n")
    assert "not running" in status(folder)["state"]


def test_a_run_is_finished_with_the_results_that_it_was_asked_for(tmp_path: Path):
    assert status(made(tmp_path / "plain", steps=10))["state"] == "finished"
    tested = made(tmp_path / "tested", steps=10, tested=True)
    assert status(tested)["state"] == "trained, not evaluated; the same command continues"
    (tested / "results.json").write_text("{}")
    assert status(tested)["state"] == "finished"


def test_a_lock_counts_while_its_process_lives(tmp_path: Path):
    folder = made(tmp_path / "run", steps=4)
    lock(folder, os.getpid())
    assert status(folder)["state"].startswith(f"running on {socket.gethostname()} (process {os.getpid()})")
    lock(folder, ended_pid())
    assert status(folder)["state"] == "ended without a cause, perhaps killed; the same command continues"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (RunFailed("step 3: the loss is not finite"), "failed: step 3: the loss is not finite"),
        (KeyError("size"), "failed: 'size'"),
        (RunStopped("training was interrupted"), "stopped by a signal; the same command continues"),
        (KeyboardInterrupt(), "stopped by a signal; the same command continues"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_cause_of_a_failure_is_kept_until_the_next_attempt(error: BaseException, state: str, tmp_path: Path):
    folder = made(tmp_path / "run", steps=4)
    with pytest.raises(type(error)), recorded_failure(folder):
        raise error
    assert status(folder)["state"] == state
    with recorded_failure(folder):
        pass
    assert status(folder)["state"] == "not running; the same command continues"


def test_a_run_that_fails_says_why(clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: Any) -> None:
        raise RunFailed("step 1: no more")

    monkeypatch.setattr("stica_pv.workflows.run.pretrain", fail)
    with pytest.raises(RunFailed):
        run_tiny(clips_folder, tmp_path / "run")
    assert status(tmp_path / "run")["state"] == "failed: step 1: no more"


def test_a_folder_of_runs_is_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    assert command.main([]) == 0
    assert capsys.readouterr().out == "no runs yet in output\n"
    made(Path("output/stica/first"), steps=10)
    made(Path("output/stica/first/checkpoints/copy"))
    made(Path("output/gdt/second"), steps=4)
    assert command.main([]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "step", "epoch", "loss", "checkpoint", "record", "state"]
    assert [row.split()[:3] for row in rows] == [
        ["output/gdt/second", "4/10", "0.8/2.0"],
        ["output/stica/first", "10/10", "2.0/2.0"],
    ]
    assert command.main(["output/stica/first"]) == 0
    assert "  state      finished\n" in capsys.readouterr().out


def test_a_folder_without_a_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for folder in (tmp_path, tmp_path / "absent"):
        assert command.main([str(folder)]) == 2
        assert capsys.readouterr().err == f"error: --status {folder}: there is no run\n"
    with pytest.raises(UsageError):
        find_runs(tmp_path / "absent")
