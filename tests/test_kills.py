"""A run that is killed again and again, at any moment, ends with the numbers of one that nothing interrupted."""

import json
import os
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import attempts
import pytest
import torch
from tiny_runs import arguments, assert_same_weights, metrics_text, write_tiny

from stica_pv.engine import load_checkpoint
from stica_pv.engine.checkpoint import list_checkpoints

SEED = 4
KINDS = ("start-up",) * 3 + ("steps",) * 5 + ("writing",) * 4
WORKERS = (0, 1, 2)
MOST = {"start-up": 1, "steps": 5, "writing": 3}  # steps or checkpoints of an attempt before it is killed
STARTUP_S = 1.0
# Epochs of two steps: every second step writes a checkpoint.
SETTINGS: dict[str, Any] = {"TRAIN__BATCH_SIZE": 6, "SOLVER__MAX_EPOCH": 20, "SOLVER__BASE_LR": 0.01}


@dataclass(frozen=True)
class Moment:
    """When to kill: `count` steps or checkpoints into an attempt, and `delay_s` after that."""

    kind: str
    count: int
    delay_s: float
    workers: int


@dataclass(frozen=True)
class Kill:
    """What a kill found: the last step logged, unfinished writes, and the checkpoint that the next attempt loads."""

    moment: Moment
    logged: int
    unfinished: bool
    checkpoint: int


def sample_moments() -> list[Moment]:
    rng = random.Random(SEED)
    kinds = rng.sample(KINDS, len(KINDS))
    longest = {"start-up": STARTUP_S, "steps": 0.06, "writing": 0.003}
    return [
        Moment(kind, rng.randint(1, MOST[kind]), rng.uniform(0, longest[kind]), rng.choice(WORKERS)) for kind in kinds
    ]


def wait_until(reached: Callable[[], bool], attempt: BaseProcess, *, pause_s: float) -> None:
    end = time.monotonic() + attempts.PATIENCE_S
    while not reached():
        assert attempt.exitcode is None, "the run came to its end before it was killed"
        assert time.monotonic() < end, "the run does not get going"
        time.sleep(pause_s)


def logged_steps(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_text().count("\n") if path.is_file() else 0


def newest_step(folder: Path) -> int:
    """Steps in the newest checkpoint, which must be whole; 0 without one."""
    paths = list_checkpoints(folder)
    return load_checkpoint(paths[-1])["step"] if paths else 0


def await_steps(attempt: BaseProcess, folder: Path, count: int, before: os.stat_result | None) -> None:
    """Waits for `count` steps of this attempt, which begins by writing a shorter metrics.jsonl in place of the old."""
    path, goal = folder / "metrics.jsonl", newest_step(folder) + count

    def reached() -> bool:
        return (
            path.is_file() and (before is None or path.stat().st_ino != before.st_ino) and logged_steps(folder) >= goal
        )

    wait_until(reached, attempt, pause_s=0.002)


def await_writing(attempt: BaseProcess, folder: Path, count: int, since_ns: int) -> None:
    """Waits until the checkpoint number `count` of this attempt is being written."""

    def writing() -> bool:
        try:
            files = list(os.scandir(folder / "checkpoints"))
            return any(file.name.endswith(".partial") and file.stat().st_mtime_ns > since_ns for file in files)
        except FileNotFoundError:
            return False

    for number in range(count):
        wait_until(writing, attempt, pause_s=0)
        if number < count - 1:
            wait_until(lambda: not writing(), attempt, pause_s=0)


def kill_at(moment: Moment, command: list[object], folder: Path, output_folder: Path) -> Kill:
    metrics = folder / "metrics.jsonl"
    before, since_ns = (metrics.stat() if metrics.is_file() else None), time.time_ns()
    attempt = attempts.begin([*command, "DATA_LOADER.NUM_WORKERS", moment.workers], output_folder)
    if moment.kind == "steps":
        await_steps(attempt, folder, moment.count, before)
    elif moment.kind == "writing":
        await_writing(attempt, folder, moment.count, since_ns)
    time.sleep(moment.delay_s)
    attempts.kill(attempt)
    partials = [path for path in folder.glob("checkpoints/*.partial") if path.stat().st_mtime_ns > since_ns]
    return Kill(moment, logged_steps(folder), bool(partials), newest_step(folder))


def table(kills: list[Kill]) -> str:
    lines = [
        "| kill | moment | workers | last logged step | continued from step |",
        "|---|---|---|---|---|",
    ]
    for number, kill in enumerate(kills, 1):
        unfinished = ", checkpoint half written" if kill.unfinished else ""
        lines.append(
            f"| {number} | {kill.moment.kind}{unfinished} | {kill.moment.workers} | {kill.logged} | {kill.checkpoint} |"
        )
    return "\n".join(lines) + "\n"


def without_timings(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "json_stats.log").read_text().splitlines()]
    return [{name: line[name] for name in ("step", "epoch", "lr", "loss", "grad_norm")} for line in lines]


def assert_same_end(folder: Path, straight: Path) -> None:
    # exact: the same code with the same shapes, interrupted or not
    assert metrics_text(folder) == metrics_text(straight)
    assert without_timings(folder) == without_timings(straight)
    assert [path.name for path in list_checkpoints(folder)] == [path.name for path in list_checkpoints(straight)]
    first, second = (load_checkpoint(list_checkpoints(run)[-1]) for run in (folder, straight))
    assert_same_weights(first["model"], second["model"])
    for name, state in second["optimizer"]["state"].items():
        for key, value in state.items():
            other = first["optimizer"]["state"][name][key]
            # exact: the same code with the same shapes, interrupted or not
            assert torch.equal(other, value) if torch.is_tensor(value) else other == value
    assert first["meter"] == second["meter"]
    assert not list(folder.rglob("*.partial"))


@pytest.mark.slow
def test_a_run_killed_a_dozen_times_ends_as_one_that_was_not(
    clips_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    cfg = write_tiny(tmp_path / "tiny.yaml")
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    commands: dict[Path, list[object]] = {
        folder: ["--cfg", cfg, *arguments(clips_folder, folder, **SETTINGS)] for folder in (killed, straight)
    }
    kills = [
        kill_at(moment, commands[killed], killed, tmp_path / f"attempt{number}")
        for number, moment in enumerate(sample_moments(), 1)
    ]
    for folder, workers in ((killed, 1), (straight, 0)):
        last = attempts.begin([*commands[folder], "DATA_LOADER.NUM_WORKERS", workers], tmp_path / "last")
        assert attempts.end_of(last) == 0, (tmp_path / "last" / "err").read_text()
    with capsys.disabled():
        sys.stdout.write("\n" + table(kills))
    assert sum(kill.unfinished for kill in kills) >= 2
    assert len({kill.checkpoint for kill in kills}) >= 4
    assert_same_end(killed, straight)
