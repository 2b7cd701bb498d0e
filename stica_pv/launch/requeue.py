"""Requeues a failed job, called by the batch script after srun, unless that would only repeat the failure.

Imports only the standard library, and runs as a script: when a job fails, other imports may fail too.
"""

import argparse
import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

RUNS, CODE, FAILURES, TOKEN = "runs.json", "code", "failures.jsonl", "token"
# srun's exit code for a process that USR2 ended: the cluster asked for a requeue before Python could handle it.
SIGNALED_EARLY = 128 + signal.SIGUSR2
FINAL = ("UsageError", "UnreadableClip")  # repeating wrong requests or data does not help


@dataclass(frozen=True)
class Submission:
    """One run of a submission.

    Attributes:
        folder: Folder of the submission.
        number: Index of the run.
    """

    folder: Path
    number: int

    @property
    def code(self) -> Path:
        """Snapshot of the code."""
        return self.folder / CODE

    @property
    def output_dir(self) -> Path:
        """OUTPUT_DIR of the run."""
        return Path(json.loads((self.folder / RUNS).read_text(encoding="utf-8"))[self.number])

    @property
    def token(self) -> str:
        """Secret of the processes of this run; see `stica_pv.launch.run_token`."""
        return f"{(self.folder / TOKEN).read_text(encoding='utf-8')}-{self.number}"

    @property
    def failures(self) -> Path:
        """File of its failures so far, one per line."""
        return self.folder / f"{self.number}.{FAILURES}"

    @property
    def attempt_failure(self) -> Path:
        """File with the failure of this attempt, written by the process that failed first."""
        return self.folder / f"{self.number}.life{attempt()}.json"


def attempt() -> int:
    """Returns the number of this attempt of the job, from 0."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def job_id() -> str:
    """Returns Slurm's id of this job; that of an array element has both numbers."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def write_failure(submission: Submission, step: int, reason: str) -> None:
    """Records the failure of this attempt; of several processes the first one counts."""
    try:
        with submission.attempt_failure.open("x", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "reason": reason}))
    except FileExistsError:
        return
    except OSError as error:  # such as a full disk, which may be the failure itself
        logger.error("%s: not written (%s): step %d: %s", submission.attempt_failure, error, step, reason)


def read_failures(submission: Submission) -> list[dict[str, object]]:
    """Returns the failures so far, oldest first."""
    if not submission.failures.is_file():
        return []
    return [json.loads(line) for line in submission.failures.read_text(encoding="utf-8").splitlines()]


def reason_not_to_requeue(failures: list[dict[str, object]], most: int) -> str:
    """Returns why a job must not be requeued after its last failure; "" if it may."""
    last = failures[-1]
    reason = str(last["reason"])
    if any(name in reason for name in FINAL):
        return "repeating it would change nothing"
    if len(failures) > 1 and _kind(failures[-2]) == _kind(last):
        return f"the same error occurred twice at step {last['step']}"
    if len(failures) > most:
        return f"it has failed {len(failures)} times (SUBMITIT.MAX_FAILURES {most})"
    return ""


def _kind(failure: dict[str, object]) -> tuple[object, str]:
    """Returns step and error without numbers: ids, ports, ranks, hosts and sizes differ between attempts."""
    return failure["step"], re.sub(r"0x[0-9a-f]+|[\d.]*\d(?: ?[KMG]iB)?", "#", str(failure["reason"]))


def last_step(output_dir: Path) -> int:
    """Returns the last logged step of a run."""
    steps = [0]
    path = output_dir / "metrics.jsonl"
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            steps.append(json.loads(line)["step"])
        except (json.JSONDecodeError, KeyError):
            continue  # the last line of a killed run
    return steps[-1]


def is_still_running() -> bool:
    """Whether Slurm counts this job as running: not canceled, preempted, out of time or requeued already."""
    command = ["scontrol", "show", "job", job_id()]
    recorded = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    return "JobState=RUNNING" in recorded


def main(argv: list[str]) -> int:
    """Requeues the job if that may help; returns the exit code of the batch script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submission", type=Path, required=True)
    parser.add_argument("--code", type=int, required=True, help="exit code of srun")
    parser.add_argument("--most", type=int, required=True, help="SUBMITIT.MAX_FAILURES")
    args = parser.parse_args(argv)
    if args.code == 0 or not is_still_running():
        return int(args.code)
    submission = Submission(args.submission, int(os.environ.get("SLURM_ARRAY_TASK_ID", "0")))
    if args.code == SIGNALED_EARLY and not submission.attempt_failure.is_file():
        _log(submission, f"attempt {attempt()} of job {job_id()}: requeue request while it started or ended; requeued")
        _requeue()
        return int(args.code)
    failures = [*read_failures(submission), _read_failure(submission, args.code)]
    with submission.failures.open("a", encoding="utf-8") as file:
        file.write(json.dumps(failures[-1]) + "\n")
    refusal = reason_not_to_requeue(failures, args.most)
    what = f"attempt {attempt()} of job {job_id()} failed at step {failures[-1]['step']}: {failures[-1]['reason']}"
    outcome = f"not requeued, since {refusal}" if refusal else f"requeued, failure {len(failures)} of {args.most}"
    _log(submission, f"{what}; {outcome}")
    if not refusal:
        _requeue()
    return int(args.code)


def _requeue() -> None:
    done = subprocess.run(["scontrol", "requeue", job_id()], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode and is_still_running():  # otherwise it was requeued or ended meanwhile
        sys.stderr.write(f"scontrol requeue failed: {done.stderr.strip()}\n")


def _read_failure(submission: Submission, code: int) -> dict[str, object]:
    """Returns the failure that a process recorded before it ended, or that one was killed."""
    recorded = {
        "step": last_step(submission.output_dir),
        "reason": f"a process was killed (srun exited with code {code})",
    }
    if submission.attempt_failure.is_file():
        with contextlib.suppress(json.JSONDecodeError):  # cut off by a kill or a full disk
            recorded |= json.loads(submission.attempt_failure.read_text(encoding="utf-8"))
    return {**recorded, "life": attempt(), "time": time.strftime("%Y-%m-%d %H:%M:%S")}


def _log(submission: Submission, text: str) -> None:
    sys.stderr.write(f"{text}\n")
    log = submission.output_dir / "stdout.log"
    if log.parent.is_dir():
        with log.open("a", encoding="utf-8") as file:
            file.write(f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
