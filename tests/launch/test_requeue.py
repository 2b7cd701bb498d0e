"""A failed job is requeued up to a number of times, and not to fail alike; tested without a cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stica_pv.launch.requeue import (
    FAILURES,
    RUNS,
    Submission,
    last_step,
    read_failures,
    reason_not_to_requeue,
    write_failure,
)

SCRIPT = Path(__file__).resolve().parents[2] / "stica_pv" / "launch" / "requeue.py"
SCONTROL = """#!/bin/sh
echo "$@" >> {calls}
[ "$1" = show ] && echo "JobId=7 JobState={state} Reason=None"
exit 0
"""


def failure(step: int, reason: str) -> dict[str, object]:
    return {"step": step, "reason": reason}


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([failure(5, "RuntimeError: a")], ""),
        ([failure(5, "RuntimeError: a"), failure(6, "RuntimeError: a")], ""),
        ([failure(5, "RuntimeError: a"), failure(5, "RuntimeError: b")], ""),
        ([failure(5, "process 1 on n7: port 81"), failure(5, "process 3 on n8: port 4")], "occurred twice at step 5"),
        ([failure(5, "a"), failure(6, "a"), failure(5, "a")], ""),
        ([failure(5, "memory full: 1.02 GiB is free"), failure(5, "memory full: 980 MiB is free")], "occurred twice"),
        ([failure(0, "process 0 of 2 on n7: UsageError: wrong")], "would change nothing"),
        ([failure(5, "LoaderFailed: a loader worker (process id 81) was killed by signal 9")], ""),
        ([failure(step, "a") for step in (1, 2, 3)], ""),
        ([failure(step, "a") for step in (1, 2, 3, 4)], "failed 4 times (SUBMITIT.MAX_FAILURES 3)"),
    ],
)
def test_what_may_help_is_tried(failures: list[dict[str, object]], expected: str):
    refusal = reason_not_to_requeue(failures, 3)
    assert expected in refusal
    assert bool(expected) == bool(refusal)


def test_the_first_failure_of_an_attempt_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    submission = Submission(tmp_path, 2)
    write_failure(submission, 5, "first")
    write_failure(submission, 6, "echo")
    assert json.loads(submission.attempt_failure.read_text()) == {"step": 5, "reason": "first"}
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert not submission.attempt_failure.exists()


def test_a_full_disk_that_cannot_take_the_failure_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_failure(Submission(tmp_path / "absent", 2), 5, "no space left")
    assert "not written" in caplog.text
    assert "step 5: no space left" in caplog.text


def test_the_last_step_survives_a_torn_line(tmp_path: Path):
    assert last_step(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text('{"step": 3}\n{"step": 4}\n{"st')
    assert last_step(tmp_path) == 4


def requeue(tmp_path: Path, code: int, state: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Runs the script as a batch script does; also returns its calls of scontrol."""
    calls, tools = tmp_path / "calls", tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "scontrol").write_text(SCONTROL.format(calls=calls, state=state))
    (tools / "scontrol").chmod(0o755)
    output = tmp_path / "run"
    output.mkdir(exist_ok=True)
    (tmp_path / RUNS).write_text(json.dumps([str(output)]))
    done = subprocess.run(
        [sys.executable, "-I", str(SCRIPT), "--submission", str(tmp_path), "--most", "3", "--code", str(code)],
        env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, calls.read_text() if calls.exists() else ""


def test_a_killed_job_is_requeued_and_the_run_s_log_says_so(tmp_path: Path):
    done, calls = requeue(tmp_path, 137, "RUNNING")
    assert done.returncode == 137
    assert calls.splitlines() == ["show job 7", "requeue 7"]
    assert "a process was killed (srun exited with code 137); requeued, failure 1 of 3" in done.stderr
    assert "requeued, failure 1 of 3" in (tmp_path / "run" / "stdout.log").read_text()


def test_the_recorded_failure_is_the_reason_and_twice_is_enough(tmp_path: Path):
    for number, attempt in enumerate("01", 1):
        (tmp_path / f"0.life{attempt}.json").write_text(
            json.dumps({"step": 9, "reason": "RuntimeError: out of memory"})
        )
        done, calls = requeue(tmp_path, 1, "RUNNING", SLURM_RESTART_COUNT=attempt)
        assert calls.count("requeue 7") == 1
        assert len(read_failures(Submission(tmp_path, 0))) == number
    assert (
        "failed at step 9: RuntimeError: out of memory; not requeued, since the same error occurred twice"
        in done.stderr
    )


@pytest.mark.parametrize(("code", "state"), [(0, "RUNNING"), (143, "CANCELLED"), (143, "COMPLETING"), (9, "TIMEOUT")])
def test_other_ends_of_a_job_are_left_alone(tmp_path: Path, code: int, state: str):
    done, calls = requeue(tmp_path, code, state)
    assert done.returncode == code
    assert "requeue" not in calls
    assert not (tmp_path / f"0.{FAILURES}").exists()


def test_a_request_before_python_can_handle_it_is_no_failure(tmp_path: Path):
    for attempt in "0123":
        done, calls = requeue(tmp_path, 140, "RUNNING", SLURM_RESTART_COUNT=attempt)
        assert done.returncode == 140
        assert "requeue request while it started or ended; requeued" in done.stderr
    assert calls.count("requeue 7") == 4
    assert not (tmp_path / f"0.{FAILURES}").exists()


def test_an_element_of_an_array_is_asked_for_by_both_its_numbers(tmp_path: Path):
    array: dict[str, Any] = {"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "0"}
    _, calls = requeue(tmp_path, 1, "RUNNING", **array)
    assert calls.splitlines() == ["show job 5_0", "requeue 5_0"]
