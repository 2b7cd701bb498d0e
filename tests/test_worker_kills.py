"""A worker, a decoding process or a rank is killed: the run goes on unchanged, or ends with its last step saved."""

import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import attempts
import pytest
from tiny_runs import arguments, metrics_text, write_tiny

from stica_pv.engine.checkpoint import list_checkpoints, step_of

SEED = 5
STEPS = 30
SETTINGS: dict[str, Any] = {
    "SOLVER__MAX_EPOCH": STEPS // 3,
    "DATA_LOADER__NUM_WORKERS": 2,
    "TRAIN__CHECKPOINT_PERIOD": 4,
}
TARGETS = ((1, "worker"), (1, "decoder"), (2, "worker"), (2, "decoder"), (2, "rank"))


def children(pid: int) -> list[int]:
    """Returns the processes that a process has started, the oldest first, without Python's own resource tracker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            name = (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid and "resource_tracker" not in name:
            found.append(int(folder.name))
    return sorted(found)


def targets_of(attempt: BaseProcess, processes: int, kind: str) -> list[int]:
    """Returns the processes of a kind."""
    assert attempt.pid is not None
    ranks = [attempt.pid] if processes == 1 else children(attempt.pid)
    workers = [pid for rank in ranks for pid in children(rank)]
    decoders = [pid for worker in workers for pid in children(worker)]
    return {"rank": ranks, "worker": workers, "decoder": decoders}[kind]


def wait_for(what: Callable[[], Any], attempt: BaseProcess) -> Any:
    end = time.monotonic() + attempts.PATIENCE_S
    while not (found := what()):
        assert attempt.exitcode is None, "the run ended before anything was killed"
        assert time.monotonic() < end, "the run does not get going"
        time.sleep(0.005)
    return found


def logged_steps(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_text().count("\n") if path.is_file() else 0


def kill_one(command: list[object], folder: Path, scratch: Path, processes: int, kind: str, rng: random.Random) -> int:
    """Starts a run and kills one of its processes at a random moment; returns the exit code once all have ended."""
    first = logged_steps(folder)
    attempt = attempts.begin(command, scratch)
    wait_for(lambda: logged_steps(folder) > first + rng.randint(0, 6), attempt)
    time.sleep(rng.uniform(0, 0.05))
    victim = rng.choice(wait_for(lambda: targets_of(attempt, processes, kind), attempt))
    os.kill(victim, signal.SIGKILL)
    code = attempts.end_of(attempt)
    assert code is not None, "the run hangs"
    assert attempts.all_have_ended(attempt)
    return code


def assert_ended_well(kind: str, code: int, folder: Path, scratch: Path) -> None:
    """Checks what one kill left: the run is whole, or there is one line and a checkpoint of the last step."""
    lines = (scratch / "err").read_text().splitlines()
    if kind == "decoder":
        assert (code, logged_steps(folder)) == (0, STEPS), lines
        return
    assert code == 1, lines
    assert lines[-1].startswith("failed: ")
    if kind == "rank":
        assert "SIGKILL" in lines[-1]
    else:
        assert not any("Traceback" in line or line.startswith("frame #") for line in lines)
        assert "a loader worker (process id" in lines[-1]
        assert "was killed by signal 9 (SIGKILL), probably because memory ran out" in lines[-1]
        assert step_of(list_checkpoints(folder)[-1]) == logged_steps(folder)


def commands(clips: Path, tmp_path: Path, processes: int) -> tuple[list[object], list[object]]:
    cfg = write_tiny(tmp_path / "tiny.yaml")
    killed, straight = (
        ["--cfg", cfg, *arguments(clips, tmp_path / name, CPU_PROCESSES=processes, **SETTINGS)]
        for name in (f"killed{processes}", f"straight{processes}")
    )
    return killed, straight


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_process_of_a_run_costs_at_most_a_restart(clips_folder: Path, tmp_path: Path, processes: int):
    rng = random.Random(SEED)
    killed, straight = commands(clips_folder, tmp_path, processes)
    assert attempts.end_of(attempts.begin(straight, tmp_path / "last")) == 0
    folder = tmp_path / f"killed{processes}"
    kinds = [kind for count, kind in TARGETS if count == processes and kind != "decoder"] + ["decoder"]
    for number, kind in enumerate(kinds):  # the last one goes on to the end
        code = kill_one(killed, folder, tmp_path / f"attempt{number}", processes, kind, rng)
        assert_ended_well(kind, code, folder, tmp_path / f"attempt{number}")
    # exact: a resumed run is the straight one bit for bit
    assert metrics_text(folder) == metrics_text(tmp_path / f"straight{processes}")
