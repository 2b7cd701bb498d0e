"""Whatever takes a machine away, the run goes on and ends with the numbers of one that nothing disturbed."""

import os
import signal
import subprocess
import time

import pytest
from cluster import processes_of, wait_until
from cluster_runs import Runs

pytestmark = pytest.mark.slurm
PACE_S = 0.25  # so that the disturbance comes before the end


def need_both_nodes(runs: Runs) -> None:
    """Runs a more urgent job, which takes the nodes away from others."""
    urgent = ["sbatch", "--parsable", "-p", "urgent", "-N2", "--exclusive", "-o/dev/null", "--wrap=hostname"]
    runs.cluster.await_state(runs.cluster.say(*urgent).strip(), "COMPLETED")


def test_an_undisturbed_run_on_two_nodes_keeps_the_logs_of_all_ranks(runs: Runs):
    folder = runs.straight(2)
    log = (folder / "stdout.log").read_text()
    for rank in range(4):
        assert f"process {rank} of 4: " in log
    assert "/code" in log.partition("stica_pv from ")[2].splitlines()[0]
    assert (folder / "stdout.rank3.log").is_file()
    submission = next((folder / "submitit").iterdir())
    assert len(list(submission.glob("*_log.out"))) == 4


@pytest.mark.parametrize("number", ["USR2", "TERM"])
def test_scancel_signal(runs: Runs, number: str):
    begin, name = time.monotonic(), f"signal-{number}"
    job = runs.begin(name, pace_s=PACE_S)
    runs.await_steps(name, 3)
    runs.cluster.say("scancel", f"--signal={number}", job)
    if number == "USR2":
        wait_until(lambda: runs.cluster.restarts(job) == 1, "the requeue")
    runs.assert_undisturbed_end(f"scancel --signal={number}", name, job, begin)
    if number == "TERM":  # saved at a step without a checkpoint of its own, and went on
        assert runs.cluster.restarts(job) == 0
        assert runs.resumed(name) == []
    else:
        (step,) = runs.resumed(name)
        assert f"stopped by a signal after step {step}" in runs.log(name)


def test_preemption_by_a_more_urgent_job(runs: Runs):
    begin, name = time.monotonic(), "preempted"
    job = runs.begin(name, pace_s=PACE_S)
    runs.await_steps(name, 3)
    need_both_nodes(runs)
    runs.assert_undisturbed_end("preemption with a grace time", name, job, begin)
    assert runs.cluster.restarts(job) >= 1
    assert "stopped by a signal after step" in runs.log(name)


def test_preemption_without_a_word(runs: Runs):
    begin, name = time.monotonic(), "swept-away"
    job = runs.begin(name, pace_s=PACE_S, SUBMITIT__PARTITION="abrupt")
    runs.await_steps(name, 7)
    need_both_nodes(runs)
    runs.assert_undisturbed_end("preemption without a grace time", name, job, begin)
    assert runs.cluster.restarts(job) == 1
    assert min(runs.resumed(name)) >= 6


def test_time_limit(runs: Runs):
    begin, name = time.monotonic(), "out-of-time"
    job = runs.begin(name, pace_s=2.0, SUBMITIT__TIME_MINUTES=1, SUBMITIT__SIGNAL_SECONDS=30)
    runs.assert_undisturbed_end("time limit", name, job, begin)
    assert runs.cluster.restarts(job) >= 1
    assert "stopped by a signal after step" in runs.log(name)


def test_bare_requeue(runs: Runs):
    begin, name = time.monotonic(), "requeued"
    job = runs.begin(name, pace_s=PACE_S)
    runs.await_steps(name, 7)
    runs.cluster.say("scontrol", "requeue", job)
    runs.assert_undisturbed_end("scontrol requeue", name, job, begin)
    assert runs.cluster.restarts(job) == 1
    assert min(runs.resumed(name)) >= 6


def test_one_rank_killed(runs: Runs):
    begin, name = time.monotonic(), "killed"
    job = runs.begin(name, pace_s=PACE_S, tasks=2)
    runs.await_steps(name, 7)
    os.kill(min(pid for rank, pid in processes_of(job) if rank == 3), signal.SIGKILL)  # its worker began later
    wait_until(lambda: runs.cluster.restarts(job) == 1, "the requeue")
    runs.assert_undisturbed_end("kill -9 of rank 3", name, job, begin, tasks=2)
    assert min(runs.resumed(name)) >= 6
    assert "a process was killed" in runs.log(name)
    assert "requeued, failure 1 of 3" in runs.log(name)


def test_a_cancelled_job_stays_so_and_a_new_one_goes_on(runs: Runs):
    begin, name = time.monotonic(), "canceled"
    job = runs.begin(name, pace_s=PACE_S)
    runs.await_steps(name, 4)
    with pytest.raises(ValueError, match=rf"(in use by process|belongs to job {job})"):
        runs.begin(name)
    runs.cluster.say("scancel", job)
    runs.cluster.await_state(job, "CANCELLED")
    assert runs.cluster.restarts(job) == 0
    wait_until(lambda: not processes_of(job), "the end of its processes")
    again = runs.begin(name)
    runs.assert_undisturbed_end("scancel, submitted again", name, again, begin)
    assert min(runs.resumed(name)) >= 4


def test_an_error_that_repeats_at_the_same_step_ends_the_job(runs: Runs):
    name = "broken"
    job = runs.begin(name, failure="1 5")
    runs.cluster.await_state(job, "FAILED")
    log = runs.log(name)
    assert runs.cluster.restarts(job) == 1
    assert log.count("process 1 of 2 on ") >= 2
    assert "the device of process 1 is out of order; requeued, failure 1 of 3" in log
    assert "not requeued, since the same error occurred twice at step 5" in log


def test_a_waiting_job_is_not_submitted_twice(runs: Runs):
    job = runs.begin("waiting", SUBMITIT__EXTRA="['hold']")
    with pytest.raises(ValueError, match=rf"belongs to job {job}, which is PENDING"):
        runs.begin("waiting")
    subprocess.run(["scancel", job], check=True)
    runs.cluster.await_state(job, "CANCELLED")
