"""Runs jobs in separate processes, so that one that crashes or hangs is named and does not affect others."""

import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any

from stica_pv.data.isolation.parent_death import end_with_parent, watched_parent

Job = Callable[..., str]


def run_isolated(
    job: Job, arguments: Mapping[str, tuple[Any, ...]], *, processes: int, limit_s: int
) -> Iterator[tuple[str, str]]:
    """Yield (name, result of the job) as jobs are completed.

    A job that kills its process or exceeds the limit gives a text that says so. Jobs that ran at the same time are
    repeated, one at a time.

    Args:
        job: A module-level function that returns a text.
        arguments: Arguments of each job, by its name.
        processes: Number of jobs at a time.
        limit_s: Time limit per job in seconds.
    """
    suspects: list[str] = []
    waiting = deque(arguments)
    while waiting:
        yield from _run_pool(job, arguments, waiting, suspects, processes, limit_s)
    for name in suspects:
        again: list[str] = []
        yield from _run_pool(job, arguments, deque([name]), again, 1, limit_s)
        yield from ((name, f"it kills its process, or takes more than {limit_s} s") for name in again)


def _run_pool(
    job: Job,
    arguments: Mapping[str, tuple[Any, ...]],
    waiting: deque[str],
    suspects: list[str],
    processes: int,
    limit_s: int,
) -> Iterator[tuple[str, str]]:
    """Run jobs until none are left or the pool breaks; running jobs are then added to `suspects`."""
    busy: dict[Future[str], str] = {}
    # Spawned, because a fork would copy locks that decoder threads hold.
    pool = ProcessPoolExecutor(
        min(processes, len(waiting)), mp_context=get_context("spawn"), initializer=_begin, initargs=(watched_parent(),)
    )
    try:
        while waiting or busy:
            while waiting and len(busy) < processes:
                busy[pool.submit(_limited, job, arguments[waiting[0]], limit_s)] = waiting[0]
                waiting.popleft()  # only after the submission, which fails if the pool is broken
            done, _ = wait(busy, return_when=FIRST_COMPLETED)
            for future in done:
                result = future.result()
                yield busy.pop(future), result
    except BrokenProcessPool:
        suspects.extend(busy.values())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int) -> None:
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends a worker immediately and without a traceback


def _limited(job: Job, arguments: tuple[Any, ...], limit_s: int) -> str:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, even if it hangs inside a decoder
    signal.alarm(limit_s)
    try:
        return job(*arguments)
    finally:
        signal.alarm(0)
