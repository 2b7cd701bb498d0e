"""Submits runs to a cluster, or to this machine, through submitit; several runs become one array job."""

import json
import os
import secrets
import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import submitit
from submitit.core.utils import FailedJobError

from stica_pv.command_line import ENVIRONMENT
from stica_pv.config import CfgNode, flatten
from stica_pv.config.keys import is_equal_in_array
from stica_pv.credentials import without_credentials
from stica_pv.engine.lock import check_free
from stica_pv.errors import UsageError
from stica_pv.launch import requeue
from stica_pv.launch.job import ClusterJob
from stica_pv.launch.requeue import CODE, RUNS, TOKEN
from stica_pv.launch.run_token import write_token
from stica_pv.launch.snapshot import take_snapshot
from stica_pv.partial_file import partial_file

EXECUTORS = ("slurm", "local")
JOB = "job.json"
SLURM, LOCAL = EXECUTORS
ANSWER_S = 60  # time-out of squeue
FORGOTTEN = "Invalid job id"  # message of squeue for a job that ended a while ago


def submit(cfgs: Sequence[CfgNode], executor: str, *, profile_steps: int = 0) -> list[str]:
    """Submits runs; returns their job ids.

    Args:
        cfgs: One configuration per run, each with its own OUTPUT_DIR, all with the same SUBMITIT.
        executor: ``slurm``, or ``local``: processes of this machine that outlive this one.
        profile_steps: See `stica_pv.workflows.run.run`.

    Raises:
        UsageError: An OUTPUT_DIR is in use or given twice, keys conflict, or the cluster refuses.
    """
    cfg = cfgs[0]
    _check(cfgs, executor)
    folders = [Path(each.OUTPUT_DIR).absolute() for each in cfgs]
    submission = _new_folder(folders)
    take_snapshot(submission / CODE)
    (submission / RUNS).write_text(json.dumps([str(folder) for folder in folders], indent=0), encoding="utf-8")
    write_token(submission / TOKEN, secrets.token_hex(16))
    jobs = [
        ClusterJob(without_credentials(each.dump()), str(submission), number, profile_steps)
        for number, each in enumerate(cfgs)
    ]
    with _environment(environment_of_job(cfg, submission)):
        try:
            handle = submitit.AutoExecutor(submission, cluster=executor, slurm_max_num_timeout=10**6)
            handle.update_parameters(**parameters(cfg, executor, submission))
            with handle.batch():
                submitted = [handle.submit(job) for job in jobs]
            ids = [str(job.job_id) for job in submitted]
        except (RuntimeError, ValueError, FailedJobError) as error:
            raise UsageError(f"the job was refused: {' '.join(str(error).split())}") from error
    for folder, job_id in zip(folders, ids, strict=True):
        record = {"job": job_id, "executor": executor, "submission": str(submission)}
        with partial_file(folder / JOB) as partial:
            partial.write_text(json.dumps(record), encoding="utf-8")
    return ids


def parameters(cfg: CfgNode, executor: str, submission: Path) -> dict[str, Any]:
    """Translates the keys of SUBMITIT into arguments of submitit."""
    keys = cfg.SUBMITIT
    general: dict[str, Any] = {
        "name": keys.JOB_NAME,
        "nodes": keys.NODES,
        "tasks_per_node": tasks_per_node(cfg),
        "cpus_per_task": keys.CPUS_PER_TASK,
        "timeout_min": keys.TIME_MINUTES,
        "gpus_per_node": keys.GPUS_PER_NODE or None,
        "mem_gb": keys.MEM_GB or None,
    }
    if executor == LOCAL:
        return general
    script = submission / CODE / Path(*requeue.__name__.split(".")).with_suffix(".py")
    on_failure = [
        sys.executable,
        str(script),
        "--submission",
        str(submission),
        "--most",
        str(keys.MAX_FAILURES),
        "--code",
    ]
    variables = environment_of_job(cfg, submission)
    slurm = {
        "signal_delay_s": keys.SIGNAL_SECONDS,
        "array_parallelism": keys.ARRAY_PARALLELISM,
        "setup": [f"export {name}={shlex.quote(value)}" for name, value in variables.items()],
        # By default Slurm lets the others wait when one process is killed, and does not pass CPUS_PER_TASK to srun.
        "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={keys.CPUS_PER_TASK}"],
        "teardown": [f"{shlex.join(on_failure)} $?", "exit $?"],
        "additional_parameters": {"requeue": True, **_extra(keys.EXTRA)},
    }
    for name in ("partition", "constraint", "account", "qos", "mail_user"):
        slurm[name] = keys[name.upper()]
    slurm["mail_type"] = keys.MAIL_TYPE if keys.MAIL_USER else ""
    return general | {f"slurm_{name}": value for name, value in slurm.items() if value not in ("", None)}


def tasks_per_node(cfg: CfgNode) -> int:
    """Returns the number of processes on a node: one per GPU, or SUBMITIT.TASKS_PER_NODE on the CPU."""
    return int(cfg.SUBMITIT.GPUS_PER_NODE or cfg.SUBMITIT.TASKS_PER_NODE)


def environment_of_job(cfg: CfgNode, submission: Path) -> dict[str, str]:
    """Returns the environment of a job: the snapshot is first on the path, the folder of submission is not on it."""
    paths = [str(submission / CODE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONSAFEPATH": "1",
        **{name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()},
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cfg.SUBMITIT.CPUS_PER_TASK)),
    }


def queue_state(job_id: str) -> str:
    """Returns Slurm's state of a pending or running job; "" if it is neither, or there is no Slurm here.

    Raises:
        ConnectionError: The queue does not answer.
    """
    command = ["squeue", "--noheader", "--jobs", job_id, "--format", "%T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER_S)
    except FileNotFoundError:
        return ""
    except subprocess.TimeoutExpired as error:
        raise ConnectionError(f"squeue gave no answer within {ANSWER_S} s") from error
    if done.returncode and FORGOTTEN not in done.stderr:
        raise ConnectionError(" ".join(done.stderr.split()) or f"squeue exited with code {done.returncode}")
    fields = done.stdout.split() if done.returncode == 0 else []
    return fields[0] if fields else ""


def read_job(folder: Path) -> dict[str, str]:
    """Returns what `submit` recorded in an OUTPUT_DIR; empty if nothing."""
    try:
        record: dict[str, str] = json.loads((folder / JOB).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return record


def _check(cfgs: Sequence[CfgNode], executor: str) -> None:
    cfg = cfgs[0]
    for each in cfgs[1:]:
        _refuse_other_machines(cfg, each)
    if executor == LOCAL and cfg.SUBMITIT.NODES > 1:
        raise UsageError(f"SUBMITIT.NODES {cfg.SUBMITIT.NODES}: --launcher local uses only this machine; set it to 1")
    if cfg.NUM_SHARDS > 1:
        raise UsageError("NUM_SHARDS > 1 is for machines without Slurm: use SUBMITIT.NODES instead")
    if cfg.NUM_GPUS not in (-1, cfg.SUBMITIT.GPUS_PER_NODE):
        raise UsageError(
            f"NUM_GPUS {cfg.NUM_GPUS} and SUBMITIT.GPUS_PER_NODE {cfg.SUBMITIT.GPUS_PER_NODE} differ: "
            "remove NUM_GPUS, SUBMITIT.GPUS_PER_NODE is used"
        )
    processes = cfg.SUBMITIT.NODES * tasks_per_node(cfg)
    for each in cfgs:
        if each.TRAIN.BATCH_SIZE % processes:
            raise UsageError(f"TRAIN.BATCH_SIZE {each.TRAIN.BATCH_SIZE} does not divide over {processes} processes")
        _refuse_used(Path(each.OUTPUT_DIR))


def _refuse_other_machines(first: CfgNode, other: CfgNode) -> None:
    """The runs of an array share one batch script."""
    expected, given = (dict(flatten(cfg)) for cfg in (first, other))
    for key, value in given.items():
        if is_equal_in_array(key) and value != expected[key]:
            raise UsageError(
                f"{key} is {expected[key]!r} in the first run and {value!r} in that of {other.OUTPUT_DIR}: runs "
                "that are submitted together must use the same machines; submit them separately"
            )


def _refuse_used(folder: Path) -> None:
    check_free(folder)
    job = read_job(folder)
    try:
        state = queue_state(job["job"]) if job.get("executor") == SLURM else ""
    except ConnectionError as error:
        raise UsageError(
            f"OUTPUT_DIR {folder} belongs to job {job['job']}, and Slurm's queue does not report whether it is pending "
            f"or running ({error}): submit again when `squeue --jobs {job['job']}` answers, or choose another "
            "OUTPUT_DIR"
        ) from error
    if state:
        raise UsageError(
            f"OUTPUT_DIR {folder} belongs to job {job['job']}, which is {state}: cancel it (scancel {job['job']}), "
            "or choose another OUTPUT_DIR"
        )


def _new_folder(folders: Sequence[Path]) -> Path:
    """Makes a folder that no submission had before: Slurm's job numbers may restart, and files would be confused."""
    above = folders[0] if len(folders) == 1 else Path(os.path.commonpath([str(folder.parent) for folder in folders]))
    folder = above / "submitit" / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be created: {error.strerror or error}") from error
    return folder


def _extra(items: Sequence[str]) -> dict[str, Any]:
    pairs = (str(item).partition("=") for item in items)
    return {name.lstrip("-"): value if equals else True for name, equals, value in pairs}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets variables while entered: the processes of --launcher local inherit them."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
