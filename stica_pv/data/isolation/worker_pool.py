"""Distributes requests over several worker processes and yields the answers as they arrive."""

import functools
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from stica_pv.data.isolation.worker_process import AGAIN, Answer, WorkerFailure, WorkerProcess

_AHEAD = 2
"""Batches of requests sent to a worker in advance, so that it need not wait for the next one."""


@dataclass(frozen=True)
class _Attempt:
    """A request, and whether it has already killed a process."""

    request: Any
    again: bool = False

    def __repr__(self) -> str:
        return repr(self.request)


def answer_all(
    answer: Answer, requests: Iterable[Any], *, processes: int, timeout_s: float
) -> Iterator[tuple[Any, Any]]:
    """Yield (request, answer) as answers arrive; the answer is a `WorkerFailure` if a worker hung, or two died.

    On systems other than Linux all requests are answered sequentially in this process, without protection.

    Args:
        answer: Function of a worker; see `WorkerProcess`.
        requests: Requests to answer.
        processes: Number of workers; a lost one is replaced.
        timeout_s: Time limit; see `WorkerProcess`.
    """
    if sys.platform != "linux":
        yield from ((request, answer(request)) for request in requests)
        return
    waiting: Iterator[_Attempt] = map(_Attempt, requests)
    answer_attempt = functools.partial(_answer, answer)
    workers: list[WorkerProcess] = []
    try:
        while True:
            for attempt in itertools.islice(waiting, max(1, processes) - len(workers)):
                workers.append(WorkerProcess(answer_attempt, timeout_s))
                workers[-1].ask(attempt)
            for worker in workers:
                while len(worker.pending) < _AHEAD and (batch := tuple(itertools.islice(waiting, worker.size))):
                    worker.ask(*batch)
            ready = _ready([worker for worker in workers if worker.pending])
            if not ready:
                return
            for worker in ready:
                answered = list(zip(worker.pending[0], worker.receive(), strict=True))
                if any(isinstance(result, WorkerFailure) for _, result in answered):
                    workers.remove(worker)
                    again = [_next_attempt(*pair) for pair in answered if _is_open(*pair)]
                    waiting = itertools.chain(again, *worker.pending, waiting)
                yield from ((attempt.request, result) for attempt, result in answered if not _is_open(attempt, result))
    finally:
        for worker in workers:
            worker.stop()


def _answer(answer: Answer, attempt: _Attempt) -> Any:
    return answer(attempt.request)


def _is_open(attempt: _Attempt, result: Any) -> bool:
    """Return whether a request has to be sent again."""
    return result is AGAIN or (isinstance(result, WorkerFailure) and result.may_be_retried and not attempt.again)


def _next_attempt(attempt: _Attempt, result: Any) -> _Attempt:
    return attempt if result is AGAIN else _Attempt(attempt.request, again=True)


def _ready(workers: list[WorkerProcess]) -> list[WorkerProcess]:
    """Wait until workers have answered, died, or exceeded their time; return these; empty for no workers."""
    while workers:
        left = [seconds for seconds in (worker.left_s() for worker in workers) if seconds is not None]
        pipes = wait([worker.pipe for worker in workers], max(0.0, min(left)) if left else None)
        found = [worker for worker in workers if worker.pipe in pipes or (worker.left_s() or 1.0) <= 0]
        if found:
            return found
    return []
