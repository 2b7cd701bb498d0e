"""Helper processes that answer questions under an alarm: what hangs or kills one costs one answer, and is named."""

import contextlib
import gc
import mmap
import os
import pickle
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import numpy as np

from stica_pv.data.isolation.parent_death import end_with_parent, watched_parent

Answer = Callable[[Any], Any]

TIMED_OUT = "time-out after"
KILLED = "the decoder killed its process"
ENDED = "the process that read it was killed from outside, as when memory runs out"

_GRACE_S = 10.0
"""How much longer than its own alarm a helper is waited for; the alarm cannot end one that a dead disk holds."""

_MOST = 32  # questions in a batch; the cost of sending is then small beside that of opening a file
_BATCH_S = 0.25
"""Batches grow while they are answered in less than this, and shrink otherwise: what is slow comes one by one."""

_END_S = 2.0
"""How long to wait for the end of a helper that closed its pipe, or was killed."""

# Workers of torch's DataLoader catch these to print a line; a helper shall die of them in silence.
_FATAL = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGALRM)
# A terminal or Slurm sends these to all processes of a run; a helper goes on until the one that asks it ends it.
_OTHERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class WorkerFailure:
    """Stands for an answer that a helper could not give, as it hung or died; `cause` says which."""

    cause: str

    @property
    def may_be_retried(self) -> bool:
        """Whether another helper may answer, at no great cost: this one died, and did not hang."""
        return not self.cause.startswith(TIMED_OUT)


AGAIN = WorkerFailure("another question of its batch hung or killed the helper")


class WorkerProcess:
    """A forked process (Linux only) that answers batches of questions until the pipe is closed.

    It sets itself an alarm for each question, which ends it even within a decoder. Answers come in the order of the
    questions.

    Attributes:
        pipe: Becomes readable when there are answers, or will be none.
        asked: Batches that are not answered yet.
        size: How many questions the next batch should have.
    """

    def __init__(self, answer: Answer, timeout_s: float) -> None:
        """Starts the process.

        Args:
            answer: Gives the answer to a question; what it raises is raised where the answer is received.
            timeout_s: Longest time for an answer in seconds; 0 for none, a crash is then still noticed.
        """
        self._timeout_s, self._begun_s, self._seen = timeout_s, 0.0, 0
        self.asked: deque[tuple[Any, ...]] = deque()
        self.size = 1
        self._place = mmap.mmap(-1, 1)  # shared: which question of its batch the helper is at
        self.pipe, there = Pipe()
        parent = watched_parent()
        self._memory = os.memfd_create("answers")  # frames take long through a pipe, in pieces of 64 KiB
        self._pid = os.fork()
        if self._pid == 0:  # not a multiprocessing.Process: a loader's worker may have none
            end_with_parent(parent)
            self.pipe.close()
            _serve(there, self._memory, self._place, answer, timeout_s)
        there.close()

    def left_s(self) -> float | None:
        """Returns the seconds until the helper is given up, None for never; each question has its own."""
        if not self._timeout_s:
            return None
        if self._place[0] != self._seen:
            self._seen, self._begun_s = self._place[0], time.monotonic()
        return self._begun_s + self._timeout_s + _GRACE_S - time.monotonic()

    def ask(self, *questions: Any) -> None:
        """Sends a batch of at most 256; that the helper is dead shows when the answers are received."""
        if not self.asked:
            self._begun_s = time.monotonic()
        self.asked.append(questions)
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(pickle.dumps(questions))

    def receive(self) -> list[Any]:
        """Returns the answers to the oldest batch.

        If the process hung or died over one, that is its `WorkerFailure`, the others are `AGAIN`, and it has ended.
        """
        questions, begun_s = self.asked.popleft(), self._begun_s
        try:
            if not self._has_answered():
                raise EOFError
            body, sizes = pickle.loads(self.pipe.recv_bytes())
            buffers: list[Any] = [np.empty(size, np.uint8) for size in sizes]
            if buffers:
                os.preadv(self._memory, buffers, 0)
            answers: list[Any] = pickle.loads(body, buffers=buffers)
        except (EOFError, OSError):
            place, cause = self._place[0], self._end()
            return [WorkerFailure(cause) if number == place else AGAIN for number in range(len(questions))]
        self._begun_s = time.monotonic()
        self.size = min(2 * self.size, _MOST) if self._begun_s - begun_s < _BATCH_S else max(1, self.size // 2)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _has_answered(self) -> bool:
        """Waits for an answer, or the end of the helper; False if it is given up."""
        while (left := self.left_s()) is None or left > 0:
            if self.pipe.poll(left):
                return True
        return self.pipe.poll()

    def _end(self) -> str:
        """Waits for the end of a helper that does not answer, or forces it; returns the cause in words."""
        self._close()
        code = self._exit_code()
        if code is None:
            self._kill()
        if code in (None, -signal.SIGALRM):
            return f"{TIMED_OUT} {self._timeout_s:g} s"
        if code == -signal.SIGKILL:  # not lasting: the file may be innocent
            return ENDED
        return f"{KILLED} ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"

    def stop(self) -> None:
        """Ends the helper, whatever it does."""
        self._close()
        self._kill()

    def _close(self) -> None:
        self.pipe.close()
        self._place.close()
        os.close(self._memory)

    def _kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._exit_code()  # what even that cannot end is left behind

    def _exit_code(self) -> int | None:
        """Returns the exit code, minus the number of the signal that ended it; None if it does not end."""
        until = time.monotonic() + _END_S
        while time.monotonic() < until:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        return None


def _serve(pipe: Connection, memory: int, place: mmap.mmap, answer: Answer, timeout_s: float) -> NoReturn:
    """What the helper does; it never returns into the code of the process that it is a copy of."""
    try:
        gc.freeze()  # looking for garbage among what it was born with would copy all of that memory
        for number in _FATAL:
            signal.signal(number, signal.SIG_DFL)
        for number in _OTHERS:
            signal.signal(number, signal.SIG_IGN)
        while True:
            results: list[Any] = []
            for at, question in enumerate(pickle.loads(pipe.recv_bytes())):
                place[0] = at
                signal.setitimer(signal.ITIMER_REAL, timeout_s)
                results.append(_result(answer, question))
            signal.setitimer(signal.ITIMER_REAL, 0)
            place[0] = 0
            buffers: list[pickle.PickleBuffer] = []
            body = pickle.dumps(results, protocol=5, buffer_callback=buffers.append)
            sizes = [buffer.raw().nbytes for buffer in buffers]
            if buffers and os.pwritev(memory, buffers, 0) != sum(sizes):
                raise MemoryError("no memory for the answer")
            pipe.send_bytes(pickle.dumps((body, sizes)))
    except (EOFError, OSError):  # the one that asks is gone
        os._exit(0)
    finally:
        os._exit(1)


def _result(answer: Answer, question: Any) -> Any:
    try:
        return answer(question)
    except Exception as error:  # raised again where the answer is received, whatever it is
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # whatever the methods of a foreign class raise
            error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(f"in the helper that was asked {question!r}:\n{trace}")
        return error
