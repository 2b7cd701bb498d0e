"""Submission without a cluster, and a run by submitit's executor for this machine."""

import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from submitit.slurm.slurm import _make_sbatch_string
from tiny_runs import REPOSITORY, arguments, losses, write_tiny

from stica_pv.config import CfgNode, apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.launch import submit as submission
from stica_pv.launch.job import ClusterJob
from stica_pv.launch.status import status
from stica_pv.launch.submit import parameters, read_job, submit

LISTENS = """
import os
from pathlib import Path
from sockets import listening
from stica_pv.distributed import rank
from stica_pv.engine import loop
step = loop.train_step
def note_and_step(state, *rest):
    Path(os.environ["FOUND_IN"], f"rank{rank()}").write_text(" ".join(listening([os.getpid()])))
    return step(state, *rest)
loop.train_step = note_and_step
"""
TOOL = REPOSITORY / "tools" / "run_net.py"
PATIENCE_S = 400


def cfg_of(output: Path, **overrides: Any) -> CfgNode:
    cfg = get_cfg()
    apply_overrides(cfg, arguments(None, output, **overrides))
    return cfg


def batch_script(cfg: CfgNode) -> str:
    """The script that submitit makes of the keys."""
    renamed = {"name": "job_name", "timeout_min": "time", "mem_gb": "mem", "tasks_per_node": "ntasks_per_node"}
    given = parameters(cfg, "slurm", Path("/s"))
    settings = {renamed.get(name, name.removeprefix("slurm_")): value for name, value in given.items()}
    return _make_sbatch_string(command="python", folder="/s", **settings)


def test_every_key_reaches_the_batch_script(tmp_path: Path):
    keys = {
        "NODES": 8, "GPUS_PER_NODE": 4, "CPUS_PER_TASK": 10, "MEM_GB": 400.0, "TIME_MINUTES": 90, "SIGNAL_SECONDS": 77,
        "JOB_NAME": "crops", "PARTITION": "big", "CONSTRAINT": "v100", "ACCOUNT": "lab", "QOS": "low",
        "MAIL_USER": "me@there", "EXTRA": "['exclude=n7', '--exclusive']",
    }  # fmt: skip
    script = batch_script(cfg_of(tmp_path, **{f"SUBMITIT__{key}": value for key, value in keys.items()}))
    for line in (
        *("nodes=8", "gpus-per-node=4", "ntasks-per-node=4", "cpus-per-task=10", "time=90", "signal=USR2@77"),
        *("job-name=crops", "partition=big", "constraint=v100", "account=lab", "qos=low", "mail-user=me@there"),
        *("mail-type=END,FAIL", "exclude=n7", "exclusive", "requeue", "mem=400.0"),
    ):
        assert f"#SBATCH --{line}\n" in script, line
    assert "--kill-on-bad-exit=1 --cpus-per-task=10 python" in script
    assert re.search(r"^export PYTHONPATH=/s/code", script, re.MULTILINE)
    found = re.search(r"/s/code/(\S+) --submission /s --most 3 --code \$\?\nexit \$\?$", script)
    assert found is not None
    assert (REPOSITORY / found.group(1)).is_file()


def test_keys_that_are_not_set_leave_the_cluster_its_defaults(tmp_path: Path):
    script = batch_script(cfg_of(tmp_path))
    assert not [option for option in ("partition", "mem=", "gpus", "mail", "qos", "account") if f"--{option}" in script]


@pytest.mark.parametrize(
    ("key", "value"), [("SUBMITIT.GPUS_PER_NODE", 8), ("SUBMITIT.PARTITION", "big"), ("NUM_GPUS", 0), ("NUM_SHARDS", 2)]
)
def test_runs_of_one_array_that_ask_for_different_machines_are_refused(tmp_path: Path, key: str, value: object):
    cfgs = [cfg_of(tmp_path / "a"), cfg_of(tmp_path / "b", **{key.replace(".", "__"): value})]
    with pytest.raises(UsageError, match=f"{key} is .* in the first run and {value!r} in .*b: "):
        submit(cfgs, "slurm")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"NUM_SHARDS": 2}, "use SUBMITIT.NODES"),
        ({"NUM_GPUS": 2}, "SUBMITIT.GPUS_PER_NODE 0 differ"),
        ({"TRAIN__BATCH_SIZE": 6, "SUBMITIT__NODES": 4}, "TRAIN.BATCH_SIZE 6 does not divide over 4 processes"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, overrides: dict[str, Any], message: str
):
    with pytest.raises(UsageError, match=re.escape(message)):
        submit([cfg_of(tmp_path / "run", **overrides)], "slurm")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_job_waits_or_runs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "job.json").write_text('{"job": "12", "executor": "slurm", "submission": "s"}')
    monkeypatch.setattr(submission, "queue_state", {"12": "PENDING"}.get)
    with pytest.raises(UsageError, match=r"belongs to job 12, which is PENDING: cancel it \(scancel 12\)"):
        submit([cfg_of(tmp_path)], "slurm")


def slow(command: list[str], **_: object) -> None:
    raise subprocess.TimeoutExpired(command, 60)


def squeue_says(message: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    return lambda command, **_: subprocess.CompletedProcess(command, 1, "", f"slurm_load_jobs error: {message}\n")


@pytest.mark.parametrize(
    ("squeue", "reason"),
    [(slow, "squeue gave no answer within 60 s"), (squeue_says("Socket timed out"), "jobs error: Socket timed out")],
)
def test_a_queue_that_does_not_answer_is_reported_and_no_second_job_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, squeue: Callable[..., Any], reason: str
):
    (tmp_path / "job.json").write_text('{"job": "12", "executor": "slurm", "submission": "s"}')
    monkeypatch.setattr(submission.subprocess, "run", squeue)
    with pytest.raises(UsageError, match=rf"job 12, and Slurm's queue .*{reason}\): submit again when `squeue --jobs"):
        submit([cfg_of(tmp_path)], "slurm")
    assert status(tmp_path)["state"].startswith("unknown: Slurm's queue does not answer (s")
    assert [path.name for path in tmp_path.iterdir()] == ["job.json"]


def test_a_job_that_slurm_has_forgotten_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(submission.subprocess, "run", squeue_says("Invalid job id specified"))
    assert submission.queue_state("12") == ""


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    cfg = get_cfg()
    apply_overrides(cfg, ["OUTPUT_DIR", str(tmp_path / "file")])
    with pytest.raises(UsageError, match="cannot be created: Not a directory"):
        submit([cfg], "local")


def test_without_slurm_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(submission, "take_snapshot", lambda to: [])
    with pytest.raises(UsageError, match="srun"):
        submit([cfg_of(tmp_path)], "slurm")


def test_a_job_is_plain_values(tmp_path: Path):
    job = ClusterJob(get_cfg().dump(), str(tmp_path), 3)
    again = pickle.loads(pickle.dumps(job.checkpoint())).function
    assert again == job


def test_launcher_goes_not_with_what_starts_processes_by_hand():
    command = [sys.executable, str(TOOL), "--cfg", "a.yaml", "--launcher", "slurm", "--num_shards", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--launcher cannot be combined with --dry_run, --init_method" in done.stderr


@pytest.mark.slow
def test_the_status_of_nothing_is_refused():
    done = subprocess.run(
        [sys.executable, str(TOOL), "--status", "absent"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (2, "error: --status absent: there is no run\n")


@pytest.mark.slow
def test_two_processes_by_the_local_executor_and_how_they_stand(clips_folder: Path, tmp_path: Path):
    output = tmp_path / "run"
    (tmp_path / "listens.py").write_text(LISTENS)
    given = arguments(
        clips_folder, output, SUBMITIT__TASKS_PER_NODE=2, TRAIN__MAX_STEPS=2, CUSTOM_IMPORTS="['listens']"
    )
    command = [sys.executable, str(TOOL), "--cfg", str(write_tiny(tmp_path / "tiny.yaml")), "--launcher", "local"]
    env = {**os.environ, "RANK": "7", "MASTER_PORT": "1"}  # of the user's shell: they must not count
    env |= {"PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY / 'tests'}", "FOUND_IN": str(tmp_path)}
    done = subprocess.run([*command, *given], capture_output=True, text=True, check=False, env=env, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert re.match(rf"job \d+: {output}\n", done.stdout)
    end = time.monotonic() + PATIENCE_S
    logs = Path(read_job(output)["submission"])
    while len(list(logs.glob("*_result.pkl"))) < 2:
        assert time.monotonic() < end, [path.read_text() for path in logs.glob("*_log.err")]
        time.sleep(0.1)
    assert len(losses(output)) == 2
    found = status(output)
    assert (found["state"], found["step"]) == ("finished", "2/2")
    assert found["checkpoint"].startswith("step 2, ")
    assert found["job"].endswith(f"logs in {logs}")
    assert f"stica_pv from {logs / 'code'}" in (output / "stdout.log").read_text()
    addresses = [address for rank in "01" for address in (tmp_path / f"rank{rank}").read_text().split()]
    assert len(addresses) == 3  # the store, and gloo of both
    assert all(address.startswith("127.0.0.1:") for address in addresses)
    assert (logs / "token").stat().st_mode & 0o777 == 0o600
    assert not (output / ".token").exists()
