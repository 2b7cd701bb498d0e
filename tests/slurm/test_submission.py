"""The command line on the cluster: a sweep as one array job, and how its runs stand."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster_runs import SETTINGS, Runs
from tiny_runs import REPOSITORY, arguments, metrics_text, write_tiny

from stica_pv.launch.status import status
from stica_pv.launch.submit import read_job

pytestmark = pytest.mark.slurm
TOOL = REPOSITORY / "tools" / "run_net.py"


def say(*argv: object) -> str:
    """What the command line prints."""
    command = [sys.executable, str(TOOL), *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_sweep_is_one_array_job_with_a_folder_for_each_run(runs: Runs, tmp_path: Path):
    os.environ.update(PACED_SECONDS="0", PACED_FAILURE="", PYTHONPATH=str(Path(__file__).parent), OMP_NUM_THREADS="1")
    begin = time.monotonic()
    sweep = ["--launcher", "slurm", "--sweep", "RNG_SEED", "0,1"]
    given = arguments(runs.clips, tmp_path / "sweep", **SETTINGS)
    message = say("--cfg", write_tiny(tmp_path / "tiny.yaml"), *sweep, *given)
    folders = [tmp_path / "sweep" / f"rng_seed-{seed}" for seed in (0, 1)]
    jobs = [read_job(folder)["job"] for folder in folders]
    assert {job.partition("_")[0] for job in jobs} == {jobs[0].partition("_")[0]}
    assert [job.partition("_")[2] for job in jobs] == ["0", "1"]
    assert [f"job {job}: {folder}" in message for job, folder in zip(jobs, folders, strict=True)] == [True, True]
    for job in jobs:
        runs.cluster.await_state(job, "COMPLETED")
    runs.assert_undisturbed_end("array sweep, its first run", folders[0], jobs[0], begin)
    assert metrics_text(folders[1]) != metrics_text(folders[0])
    found = say("--status", *folders)
    assert found.count("state      finished\n") == 2
    assert found.count("step       18/18\n") == 2
    assert f"job        {jobs[1]} (slurm), logs in {tmp_path / 'sweep' / 'submitit'}" in found


def test_the_status_of_a_run_follows_it(runs: Runs):
    name = "followed"
    job = runs.begin(name, pace_s=0.5)
    folder = runs.folder / name
    assert status(folder)["state"] in ("pending in Slurm's queue", "running in Slurm's queue")
    runs.await_steps(name, 4)
    found = status(folder)
    assert found["state"].startswith("running on ")
    assert found["speed"].endswith("s a step")
    assert found["checkpoint"].startswith("step 3, 0:0")
    assert found["job"].startswith(f"{job} (slurm)")
    runs.cluster.say("scancel", job)
    runs.cluster.await_state(job, "CANCELLED")
