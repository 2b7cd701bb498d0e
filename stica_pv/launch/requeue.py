"""What a batch script does behind srun: a job that failed comes back, unless that would only repeat the failure.

Imports the standard library alone, and runs as a script: when a job fails, little may be left that works.
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
# srun's exit code for a process that USR2 ended: the cluster asked for a requeue before Python could hear it.
ASKED_TOO_EARLY = 128 + signal.SIGUSR2
FINAL = ("UsageError", "UnreadableClip")  # wrong requests and data stay wrong


@dataclass(frozen=True)
class Submission:
    """One run of a submission.

    Attributes:
        folder: Of the submission.
        number: Of the run.
    """

    folder: Path
    number: int

    @property
    def code(self) -> Path:
        """The snapshot."""
        return self.folder / CODE

    @property
    def output_dir(self) -> Path:
        """OUTPUT_DIR of the run."""
        return Path(json.loads((self.folder / RUNS).read_text(encoding="utf-8"))[self.number])

    @property
    def token(self) -> str:
        """What only the processes of this run know; see `stica_pv.launch.run_token`."""
        return f"{(self.folder / TOKEN).read_text(encoding='utf-8')}-{self.number}"

    @property
    def failures(self) -> Path:
        """Its failures so far, one a line."""
        return self.folder / f"{self.number}.{FAILURES}"

    @property
    def failure_of_this_life(self) -> Path:
        """What a process of this life says of its end."""
        return self.folder / f"{self.number}.life{life()}.json"


def life() -> int:
    """Number of the job's life, from 0."""
    return int(os.environ.get("SLURM_RESTART_COUNT", "0"))


def job_id() -> str:
    """Slurm's name of this job; an element of an array has a name with both numbers."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def write_failure(submission: Submission, step: int, reason: str) -> None:
    """Notes why this life ends; of several processes the first one counts."""
    try:
        with submission.failure_of_this_life.open("x", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "reason": reason}))
    except FileExistsError:
        return
    except OSError as error:  # as on a full disk, which may well be the reason itself
        logger.error("%s: not written (%s): step %d: %s", submission.failure_of_this_life, error, step, reason)


def read_failures(submission: Submission) -> list[dict[str, object]]:
    """The failures so far, oldest first."""
    if not submission.failures.is_file():
        return []
    return [json.loads(line) for line in submission.failures.read_text(encoding="utf-8").splitlines()]


def why_not(failures: list[dict[str, object]], most: int) -> str:
    """Why a job must not come back after its last failure; "" if it may."""
    last = failures[-1]
    reason = str(last["reason"])
    if any(name in reason for name in FINAL):
        return "repeating it would change nothing"
    if len(failures) > 1 and _kind(failures[-2]) == _kind(last):
        return f"the same error came twice at step {last['step']}"
    if len(failures) > most:
        return f"it has failed {len(failures)} times (SUBMITIT.MAX_FAILURES {most})"
    return ""


def _kind(failure: dict[str, object]) -> tuple[object, str]:
    """Step and error; process ids, ports, ranks, hosts and sizes of memory differ from life to life."""
    return failure["step"], re.sub(r"0x[0-9a-f]+|[\d.]*\d(?: ?[KMG]iB)?", "#", str(failure["reason"]))


def last_step(output_dir: Path) -> int:
    """Last logged step of a run."""
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
    told = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    return "JobState=RUNNING" in told


def main(argv: list[str]) -> int:
    """Returns the exit code that the batch script is to end with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submission", type=Path, required=True)
    parser.add_argument("--code", type=int, required=True, help="exit code of srun")
    parser.add_argument("--most", type=int, required=True, help="SUBMITIT.MAX_FAILURES")
    args = parser.parse_args(argv)
    if args.code == 0 or not is_still_running():
        return int(args.code)
    submission = Submission(args.submission, int(os.environ.get("SLURM_ARRAY_TASK_ID", "0")))
    if args.code == ASKED_TOO_EARLY and not submission.failure_of_this_life.is_file():
        _say(submission, f"life {life()} of job {job_id()} was asked to requeue while it began or ended; requeued")
        _requeue()
        return int(args.code)
    failures = [*read_failures(submission), _read_failure(submission, args.code)]
    with submission.failures.open("a", encoding="utf-8") as file:
        file.write(json.dumps(failures[-1]) + "\n")
    against = why_not(failures, args.most)
    what = f"life {life()} of job {job_id()} failed at step {failures[-1]['step']}: {failures[-1]['reason']}"
    outcome = f"not requeued, since {against}" if against else f"requeued, failure {len(failures)} of {args.most}"
    _say(submission, f"{what}; {outcome}")
    if not against:
        _requeue()
    return int(args.code)


def _requeue() -> None:
    done = subprocess.run(["scontrol", "requeue", job_id()], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode and is_still_running():  # otherwise somebody else has requeued or ended it meanwhile
        sys.stderr.write(f"scontrol requeue failed: {done.stderr.strip()}\n")


def _read_failure(submission: Submission, code: int) -> dict[str, object]:
    """What a process said before it ended, or that none could."""
    told = {"step": last_step(submission.output_dir), "reason": f"a process was killed (srun ended with code {code})"}
    if submission.failure_of_this_life.is_file():
        with contextlib.suppress(json.JSONDecodeError):  # cut off by a kill or a full disk
            told |= json.loads(submission.failure_of_this_life.read_text(encoding="utf-8"))
    return {**told, "life": life(), "time": time.strftime("%Y-%m-%d %H:%M:%S")}


def _say(submission: Submission, text: str) -> None:
    sys.stderr.write(f"{text}\n")
    log = submission.output_dir / "stdout.log"
    if log.parent.is_dir():
        with log.open("a", encoding="utf-8") as file:
            file.write(f"[{time.strftime('%Y-%m-%d %H:%M:%S')}] {text}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
