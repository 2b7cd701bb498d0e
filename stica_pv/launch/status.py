"""Status of runs, read from their OUTPUT_DIR and, if there is a job, from Slurm."""

import datetime
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stica_pv.engine.checkpoint import list_checkpoints, step_of
from stica_pv.engine.lock import NAME, STALE_S, has_ended, heartbeat_age_s, read_lock
from stica_pv.engine.records import STATS
from stica_pv.engine.run_folder import CONFIG, FAILURE, RUN_INFO, settings_of
from stica_pv.errors import UsageError
from stica_pv.evaluation.results import JSON
from stica_pv.launch.requeue import FAILURES
from stica_pv.launch.submit import JOB, queue_state, read_job

COLUMNS = ("step", "epoch", "loss", "checkpoint", "record", "state")
CONTINUES = "the same command continues"
_NO_RUNS_IN = ("checkpoints", "submitit")  # subfolders of runs


def find_runs(folder: Path) -> list[Path]:
    """Returns the folders of all runs in a folder, which may be one itself.

    Raises:
        UsageError: There is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"--status {folder}: there is no run")
    return sorted(_runs_below(folder))


def _runs_below(folder: Path) -> Iterator[Path]:
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _NO_RUNS_IN]
        if CONFIG in files or JOB in files:
            yield Path(path)


def table(folders: Sequence[Path]) -> list[str]:
    """Returns the lines of a table of runs."""
    found = [status(folder) for folder in folders]
    rows: list[tuple[str, ...]] = [("run", *COLUMNS)]
    rows += [
        (str(folder), *(one.get(name, "-") for name in COLUMNS)) for folder, one in zip(folders, found, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def status(folder: Path) -> dict[str, str]:
    """Returns descriptions of state, step, epoch, speed, remaining time, last record, checkpoint, job and failures.

    Raises:
        UsageError: There is no run in the folder.
    """
    job = read_job(folder)
    if not (folder / CONFIG).is_file() and not job:
        raise UsageError(f"--status {folder}: there is no run")
    info = _read_json(folder / RUN_INFO)
    last = _last_line(folder / STATS)
    checkpoints = list_checkpoints(folder)
    # A run that was stopped between two records has saved more steps than it has recorded.
    steps, step = int(info.get("steps", 0)), max([int(last.get("step", 0)), *map(step_of, checkpoints[-1:])])
    found = {"state": _state(folder, job, step, steps), "step": f"{step}/{steps or '?'}"}
    if info.get("steps_per_epoch"):
        found["epoch"] = f"{step / info['steps_per_epoch']:.1f}/{steps / info['steps_per_epoch']:.1f}"
    if last:
        left = datetime.timedelta(seconds=round((steps - step) * last["step_time"]))
        found["speed"] = f"{last['samples_per_second']:.1f} samples/s, {last['step_time']:.2f} s a step"
        found["left"] = f"{left} at this speed"
        found["loss"] = f"{last['loss']:.4g}" if "loss" in last else "?"
        found["record"] = f"{_age(folder / STATS)} ago"
    if checkpoints:
        found["checkpoint"] = f"step {step_of(checkpoints[-1])}, {_age(checkpoints[-1])} ago"
    if job:
        found["job"] = f"{job['job']} ({job['executor']}), logs in {job['submission']}"
    failures = _failures(folder, job)
    if failures:
        found["failures"] = f"{len(failures)}, the last at step {failures[-1]['step']}: {failures[-1]['reason']}"
    return found


def _age(path: Path) -> datetime.timedelta:
    return datetime.timedelta(seconds=round(max(0.0, time.time() - path.stat().st_mtime)))


def _state(folder: Path, job: dict[str, str], step: int, steps: int) -> str:
    holder, age = read_lock(folder / NAME), heartbeat_age_s(folder)
    if holder is not None and age <= STALE_S and not has_ended(holder):
        return f"running on {holder['host']} (process {holder['pid']}), last heartbeat {age:.0f} s ago"
    try:
        queued = queue_state(job["job"]) if job.get("executor") == "slurm" else ""
    except ConnectionError as error:
        return f"unknown: Slurm's queue does not answer ({error})"
    if queued:
        return f"{queued.lower()} in Slurm's queue"
    failure = _read_json(folder / FAILURE)
    if failure:
        return _describe_failure(failure)
    if holder is not None:
        return f"ended without a cause, perhaps killed; {CONTINUES}"
    return _state_of_ended(folder, trained=bool(steps) and step >= steps)


def _describe_failure(failure: dict[str, Any]) -> str:
    if failure["error"] in ("RunStopped", "SignalReceived", "KeyboardInterrupt"):
        return f"stopped by a signal; {CONTINUES}"
    return f"failed: {failure['cause'] or failure['error']}"


def _state_of_ended(folder: Path, *, trained: bool) -> str:
    settings = settings_of(folder) if (folder / CONFIG).is_file() else {}
    if (folder / JSON).is_file() or (trained and not settings.get("TEST.ENABLE")):
        return "finished"
    return f"trained, not evaluated; {CONTINUES}" if trained else f"not running; {CONTINUES}"


def _read_json(path: Path) -> dict[str, Any]:
    """Returns the content of a file; empty if there is none, only a part of it yet, or another value than an object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_line(path: Path) -> dict[str, Any]:
    """Returns the last complete line about a training step."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in reversed(lines):
        try:
            found = json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line of a killed run
        if isinstance(found, dict) and found.get("_type") == "train_iter":
            return found
    return {}


def _failures(folder: Path, job: dict[str, str]) -> list[dict[str, Any]]:
    if not job:
        return []
    number = job["job"].partition("_")[2] or "0"
    path = Path(job["submission"]) / f"{number}.{FAILURES}"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
