import os
import time

from stica_pv.data.isolation.isolated import run_isolated


def work(what: str, number: int) -> str:
    if what == "crash":
        os.abort()
    if what == "hang":
        time.sleep(60)
    return f"{what} {number}"


def test_a_job_that_crashes_or_hangs_is_named_and_the_others_are_done():
    jobs = {f"{what}{i}": (what, i) for i, what in enumerate(["fine", "crash", "fine", "hang", "fine", "fine"])}
    found = dict(run_isolated(work, jobs, processes=2, limit_s=1))
    lost = "it kills its process, or takes more than 1 s"
    assert found == {name: lost if what in ("crash", "hang") else f"{what} {i}" for name, (what, i) in jobs.items()}


def test_no_jobs_give_nothing():
    assert list(run_isolated(work, {}, processes=2, limit_s=2)) == []
