"""Status of a run, read from its OUTPUT_DIR and, if there is one, from Slurm."""

import datetime
import json
import time
from pathlib import Path
from typing import Any

from stica_pv.engine.checkpoint import list_checkpoints, step_of
from stica_pv.engine.lock import NAME, STALE_S, heartbeat_age_s, read_lock
from stica_pv.engine.records import STATS
from stica_pv.engine.run_folder import CONFIG, RUN_INFO
from stica_pv.errors import UsageError
from stica_pv.launch.requeue import FAILURES
from stica_pv.launch.submit import queue_state, read_job


def status(folder: Path) -> dict[str, str]:
    """Returns descriptions of state, step, speed, remaining time, last checkpoint, job and failures of a run.

    Raises:
        UsageError: There is no run in the folder.
    """
    job = read_job(folder)
    if not (folder / CONFIG).is_file() and not job:
        raise UsageError(f"--status {folder}: there is no run")
    info = json.loads((folder / RUN_INFO).read_text(encoding="utf-8")) if (folder / RUN_INFO).is_file() else {}
    last = _last_line(folder / STATS)
    steps, step = info.get("steps", 0), int(last.get("step", 0))
    found = {"state": _state(folder, job, step, steps), "step": f"{step}/{steps or '?'}"}
    if last:
        left = datetime.timedelta(seconds=round((steps - step) * last["step_time"]))
        found["speed"] = f"{last['samples_per_second']:.1f} samples/s, {last['step_time']:.2f} s a step"
        found["left"] = f"{left} at this speed"
        found["loss"] = f"{last['loss']:.4g}" if "loss" in last else "?"
    checkpoints = list_checkpoints(folder)
    if checkpoints:
        age = datetime.timedelta(seconds=round(time.time() - checkpoints[-1].stat().st_mtime))
        found["checkpoint"] = f"step {step_of(checkpoints[-1])}, {age} ago"
    if job:
        found["job"] = f"{job['job']} ({job['executor']}), logs in {job['submission']}"
    failures = _failures(folder, job)
    if failures:
        found["failures"] = f"{len(failures)}, the last at step {failures[-1]['step']}: {failures[-1]['reason']}"
    return found


def _state(folder: Path, job: dict[str, str], step: int, steps: int) -> str:
    holder, age = read_lock(folder / NAME), heartbeat_age_s(folder)
    if holder is not None and age <= STALE_S:
        return f"running on {holder['host']} (process {holder['pid']}), last heartbeat {age:.0f} s ago"
    try:
        queued = queue_state(job["job"]) if job.get("executor") == "slurm" else ""
    except ConnectionError as error:
        return f"unknown: Slurm's queue does not answer ({error})"
    if queued:
        return f"{queued.lower()} in Slurm's queue"
    if steps and step >= steps:
        return "trained"
    return "exited without a status" if holder is not None else "not running; the same command continues"


def _last_line(path: Path) -> dict[str, Any]:
    """Returns the last complete line about a training step."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for line in reversed(lines):
        try:
            found: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line of a killed run
        if found.get("_type") == "train_iter":
            return found
    return {}


def _failures(folder: Path, job: dict[str, str]) -> list[dict[str, Any]]:
    if not job:
        return []
    number = job["job"].partition("_")[2] or "0"
    path = Path(job["submission"]) / f"{number}.{FAILURES}"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
