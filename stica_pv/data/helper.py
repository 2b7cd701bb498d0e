"""Helper processes that answer questions under an alarm: what hangs or kills one costs one answer, and is named."""

import gc
import itertools
import os
import pickle
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

import numpy as np

Answer = Callable[[Any], Any]

TIMED_OUT = "time-out after"
KILLED = "the decoder killed its process"

_GRACE_S = 10.0
"""How much longer than its own alarm a helper is waited for; the alarm cannot end one that a dead disk holds."""

_AHEAD = 4
"""Questions that a helper knows beforehand, so that it need not wait for the next one."""

_END_S = 2.0
"""How long to wait for the end of a helper that closed its pipe, or was killed."""

# The workers of the loader catch these to print a line; a helper shall die of them in silence.
_FATAL = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGALRM)
# A terminal or Slurm sends these to all processes of a run; a helper goes on until the one that asks it ends it.
_OTHERS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Lost:
    """Stands for an answer that a helper could not give, as it hung or died; `cause` says which."""

    cause: str


class Helper:
    """A forked process (Linux only) that answers questions until the pipe is closed.

    It sets itself an alarm for each question, which ends it even within a decoder. Answers come in the order of the
    questions.

    Attributes:
        pipe: Becomes readable when there is an answer, or will be none.
        asked: Questions that are not answered yet.
    """

    def __init__(self, answer: Answer, timeout_s: float) -> None:
        """Starts the process.

        Args:
            answer: Gives the answer to a question; what it raises is raised where the answer is received.
            timeout_s: Longest time for an answer in seconds; 0 for none, a crash is then still noticed.
        """
        self._timeout_s, self._begun_s = timeout_s, 0.0
        self.asked: deque[Any] = deque()
        self.pipe, there = Pipe()
        self._memory = os.memfd_create("answers")  # pictures take long through a pipe, in pieces of 64 KiB
        self._pid = os.fork()
        if self._pid == 0:  # not a multiprocessing.Process: a loader's worker may have none
            self.pipe.close()
            _serve(there, self._memory, answer, timeout_s)
        there.close()

    @property
    def left_s(self) -> float | None:
        """Seconds until the helper is given up, None for never."""
        return self._begun_s + self._timeout_s + _GRACE_S - time.monotonic() if self._timeout_s else None

    def ask(self, question: Any) -> None:
        """Sends a question; that the helper is dead shows when the answer is received."""
        if not self.asked:
            self._begun_s = time.monotonic()
        self.asked.append(question)
        try:
            self.pipe.send_bytes(pickle.dumps(question))
        except OSError:
            return

    def receive(self) -> Any:
        """Returns the next answer; if the helper hung or died, its `Lost` one, and the helper is no more."""
        self.asked.popleft()
        try:
            if not self.pipe.poll(None if self.left_s is None else max(0.0, self.left_s)):
                raise EOFError
            answer, sizes = pickle.loads(self.pipe.recv_bytes())
            buffers: list[Any] = [np.empty(size, np.uint8) for size in sizes]
            if buffers:
                os.preadv(self._memory, buffers, 0)
            result = pickle.loads(answer, buffers=buffers)
        except (EOFError, OSError):
            return Lost(self._end())
        self._begun_s = time.monotonic()
        if isinstance(result, Exception):
            raise result
        return result

    def _end(self) -> str:
        """Waits for the end of a helper that does not answer, or forces it; returns the cause in words."""
        self._close()
        code = self._exit_code()
        if code is None:
            self._kill()
        if code in (None, -signal.SIGALRM):
            return f"{TIMED_OUT} {self._timeout_s:g} s"
        if code == -signal.SIGKILL:  # not lasting: the file may be innocent
            return "the process that read it was killed from outside, as when memory runs out"
        return f"{KILLED} ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"

    def stop(self) -> None:
        """Ends the helper, whatever it does."""
        self._close()
        self._kill()

    def _close(self) -> None:
        self.pipe.close()
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


def _serve(pipe: Connection, memory: int, answer: Answer, timeout_s: float) -> NoReturn:
    """What the helper does; it never returns into the code of the process that it is a copy of."""
    try:
        gc.freeze()  # looking for garbage among what it was born with would copy all of that memory
        for number in _FATAL:
            signal.signal(number, signal.SIG_DFL)
        for number in _OTHERS:
            signal.signal(number, signal.SIG_IGN)
        while True:
            question = pickle.loads(pipe.recv_bytes())
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            result = _result(answer, question)
            signal.setitimer(signal.ITIMER_REAL, 0)
            buffers: list[pickle.PickleBuffer] = []
            body = pickle.dumps(result, protocol=5, buffer_callback=buffers.append)
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
        error.add_note(f"in the helper that was asked {question!r}:\n{traceback.format_exc()}")
        return error


def answer_all(
    answer: Answer, questions: Iterable[Any], *, processes: int, timeout_s: float
) -> Iterator[tuple[Any, Any]]:
    """Yields (question, answer) as answers come in; an answer is `Lost` if its helper hung or died.

    Args:
        answer: As for `Helper`.
        questions: What to ask.
        processes: How many helpers answer at a time; one that is lost is replaced.
        timeout_s: As for `Helper`.
    """
    waiting = iter(questions)
    helpers: list[Helper] = []
    try:
        while True:
            for question in itertools.islice(waiting, max(1, processes) - len(helpers)):
                helpers.append(Helper(answer, timeout_s))
                helpers[-1].ask(question)
            for helper in helpers:
                for question in itertools.islice(waiting, _AHEAD - len(helper.asked)):
                    helper.ask(question)
            ready = _ready([helper for helper in helpers if helper.asked])
            if not ready:
                return
            for helper in ready:
                question, result = helper.asked[0], helper.receive()
                if isinstance(result, Lost):
                    helpers.remove(helper)
                    waiting = itertools.chain(helper.asked, waiting)
                yield question, result
    finally:
        for helper in helpers:
            helper.stop()


def _ready(helpers: list[Helper]) -> list[Helper]:
    """Waits until a helper has answered, died, or is given up; returns those; none of none."""
    left = [helper.left_s for helper in helpers if helper.left_s is not None]
    pipes = wait([helper.pipe for helper in helpers], max(0.0, min(left)) if left else None) if helpers else []
    return [helper for helper in helpers if helper.pipe in pipes or (helper.left_s or 1.0) <= 0]
