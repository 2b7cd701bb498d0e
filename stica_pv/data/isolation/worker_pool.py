"""Many questions to several helpers at a time, answered as they come in."""

import functools
import itertools
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from stica_pv.data.isolation.worker_process import AGAIN, Answer, WorkerFailure, WorkerProcess

_AHEAD = 2
"""Batches of questions that a helper knows beforehand, so that it need not wait for the next one."""


@dataclass(frozen=True)
class _Attempt:
    """A question, and whether a process died over it before."""

    question: Any
    again: bool = False

    def __repr__(self) -> str:
        return repr(self.question)


def answer_all(
    answer: Answer, questions: Iterable[Any], *, processes: int, timeout_s: float
) -> Iterator[tuple[Any, Any]]:
    """Yields (question, answer) as answers come in; `WorkerFailure` where the helper hung, or two of them died.

    Elsewhere than on Linux all are answered here, one after the other, and what hangs or kills is not stopped.

    Args:
        answer: As for `WorkerProcess`.
        questions: What to ask.
        processes: How many helpers answer at a time; one that is lost is replaced.
        timeout_s: As for `WorkerProcess`.
    """
    if sys.platform != "linux":
        yield from ((question, answer(question)) for question in questions)
        return
    waiting: Iterator[_Attempt] = map(_Attempt, questions)
    answer_attempt = functools.partial(_answer, answer)
    helpers: list[WorkerProcess] = []
    try:
        while True:
            for question in itertools.islice(waiting, max(1, processes) - len(helpers)):
                helpers.append(WorkerProcess(answer_attempt, timeout_s))
                helpers[-1].ask(question)
            for helper in helpers:
                while len(helper.asked) < _AHEAD and (batch := tuple(itertools.islice(waiting, helper.size))):
                    helper.ask(*batch)
            ready = _ready([helper for helper in helpers if helper.asked])
            if not ready:
                return
            for helper in ready:
                answered = list(zip(helper.asked[0], helper.receive(), strict=True))
                if any(isinstance(result, WorkerFailure) for _, result in answered):
                    helpers.remove(helper)
                    again = [_next_attempt(*pair) for pair in answered if _is_open(*pair)]
                    waiting = itertools.chain(again, *helper.asked, waiting)
                yield from ((attempt.question, result) for attempt, result in answered if not _is_open(attempt, result))
    finally:
        for helper in helpers:
            helper.stop()


def _answer(answer: Answer, attempt: _Attempt) -> Any:
    return answer(attempt.question)


def _is_open(attempt: _Attempt, result: Any) -> bool:
    """Says whether a question is to be asked again."""
    return result is AGAIN or (isinstance(result, WorkerFailure) and result.may_be_retried and not attempt.again)


def _next_attempt(attempt: _Attempt, result: Any) -> _Attempt:
    return attempt if result is AGAIN else _Attempt(attempt.question, again=True)


def _ready(helpers: list[WorkerProcess]) -> list[WorkerProcess]:
    """Waits until a helper has answered, died, or is given up; returns those; none of none."""
    while helpers:
        left = [seconds for seconds in (helper.left_s() for helper in helpers) if seconds is not None]
        pipes = wait([helper.pipe for helper in helpers], max(0.0, min(left)) if left else None)
        found = [helper for helper in helpers if helper.pipe in pipes or (helper.left_s() or 1.0) <= 0]
        if found:
            return found
    return []
