"""Worker processes that answer requests with a time-out: a hang or crash costs one answer, and its cause is named."""

import contextlib
import copyreg
import gc
import io
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
import torch
from torch import Tensor

from stica_pv.data.isolation.parent_death import end_with_parent, watched_parent

Answer = Callable[[Any], Any]

TIMED_OUT = "time-out after"
KILLED = "the decoder killed its process"
ENDED = "the process that read it was killed from outside, as when memory runs out"

_GRACE_S = 10.0
"""Time to wait after the alarm of a worker; the alarm cannot end a process that is blocked by a dead disk."""

_MOST = 32  # requests in a batch; the cost of sending is then small compared with opening a file
_BATCH_S = 0.25
"""Batches grow while they are answered in less than this, and shrink otherwise."""

_END_S = 2.0
"""Time to wait for the end of a worker that closed its pipe, or was killed."""

# Workers of torch's DataLoader catch these to print a line; here they should end the process silently.
_FATAL = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGALRM)
# A terminal or Slurm sends these to all processes of a run; a worker continues until its owner ends it.
_OTHERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class WorkerFailure:
    """Takes the place of an answer if the worker hung or died; `cause` says which."""

    cause: str

    @property
    def may_be_retried(self) -> bool:
        """Whether another worker may try at low cost: this one died, but did not hang."""
        return not self.cause.startswith(TIMED_OUT)


def is_lasting(cause: str) -> bool:
    """Return whether a file with this cause should be skipped: each read would cost a time-out or a process."""
    return cause.startswith((TIMED_OUT, KILLED))


def lost_a_process(cause: str) -> bool:
    """Return whether the cause is the loss of a process, which may not happen in another run."""
    return is_lasting(cause) or cause == ENDED


AGAIN = WorkerFailure("another request of its batch hung or killed the worker")


class WorkerProcess:
    """A forked process (Linux only) that answers batches of requests until the pipe is closed.

    It sets an alarm for each request, which ends it even inside a decoder. Answers are in the order of the requests.

    Attributes:
        pipe: Pipe to the process; readable when answers have arrived, or when the process has ended.
        pending: Batches that are not answered yet.
        size: Number of requests for the next batch.
    """

    def __init__(self, answer: Answer, timeout_s: float) -> None:
        """Start the process.

        Args:
            answer: Returns the answer to a request; its exceptions are raised when the answer is received.
            timeout_s: Time limit per answer in seconds; 0 for none, a crash is then still noticed.
        """
        self._timeout_s, self._start_s, self._last_current = timeout_s, 0.0, 0
        self.pending: deque[tuple[Any, ...]] = deque()
        self.size = 1
        self._current = mmap.mmap(-1, 1)  # shared: index of the current request in its batch
        self.pipe, remote = Pipe()
        parent = watched_parent()
        self._memory = os.memfd_create("answers")  # a pipe is slow for frames, as it sends pieces of 64 KiB
        self._pid = os.fork()
        if self._pid == 0:  # no multiprocessing.Process, because a loader worker may not start one
            end_with_parent(parent)
            self.pipe.close()
            _serve(remote, self._memory, self._current, answer, timeout_s)
        remote.close()

    def left_s(self) -> float | None:
        """Return the seconds until the current request times out, None for no limit."""
        if not self._timeout_s:
            return None
        if self._current[0] != self._last_current:
            self._last_current, self._start_s = self._current[0], time.monotonic()
        return self._start_s + self._timeout_s + _GRACE_S - time.monotonic()

    def ask(self, *requests: Any) -> None:
        """Send a batch of at most 256; a dead worker is noticed when the answers are received."""
        if not self.pending:
            self._start_s = time.monotonic()
        self.pending.append(requests)
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(pickle.dumps(requests))

    def receive(self) -> list[Any]:
        """Return the answers to the oldest batch.

        If the process hung or died in one request, its answer is a `WorkerFailure`, the others are `AGAIN`, and the
        process has ended.
        """
        requests, start_s = self.pending.popleft(), self._start_s
        try:
            if not self._has_answered():
                raise EOFError
            body, sizes = pickle.loads(self.pipe.recv_bytes())
            buffers: list[Any] = [np.empty(size, np.uint8) for size in sizes]
            if buffers:
                os.preadv(self._memory, buffers, 0)
            answers: list[Any] = pickle.loads(body, buffers=buffers)
        except (EOFError, OSError):
            current, cause = self._current[0], self._end()
            return [WorkerFailure(cause) if number == current else AGAIN for number in range(len(requests))]
        self._start_s = time.monotonic()
        self.size = min(2 * self.size, _MOST) if self._start_s - start_s < _BATCH_S else max(1, self.size // 2)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _has_answered(self) -> bool:
        """Wait for an answer, or the end of the worker; return False after the time-out."""
        while (left := self.left_s()) is None or left > 0:
            if self.pipe.poll(left):
                return True
        return self.pipe.poll()

    def _end(self) -> str:
        """Wait for the end of a worker that does not answer, or kill it; return the cause."""
        self._close()
        code = self._exit_code()
        if code is None:
            self._kill()
        if code in (None, -signal.SIGALRM):
            return f"{TIMED_OUT} {self._timeout_s:g} s"
        if code == -signal.SIGKILL:  # not lasting: the file may not be the cause
            return ENDED
        return f"{KILLED} ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"

    def stop(self) -> None:
        """End the worker, whatever it does."""
        self._close()
        self._kill()

    def _close(self) -> None:
        self.pipe.close()
        self._current.close()
        os.close(self._memory)

    def _kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._exit_code()  # a process that cannot be killed is left behind

    def _exit_code(self) -> int | None:
        """Return the exit code, or minus the number of the signal that ended the process; None if it does not end."""
        until = time.monotonic() + _END_S
        while time.monotonic() < until:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        return None


def _serve(pipe: Connection, memory: int, current: mmap.mmap, answer: Answer, timeout_s: float) -> NoReturn:
    """Run the worker; never returns into the code of the process that was forked."""
    try:
        gc.freeze()  # otherwise garbage collection would copy all memory that is shared with the parent
        for number in _FATAL:
            signal.signal(number, signal.SIG_DFL)
        for number in _OTHERS:
            signal.signal(number, signal.SIG_IGN)
        while True:
            results: list[Any] = []
            for index, request in enumerate(pickle.loads(pipe.recv_bytes())):
                current[0] = index
                signal.setitimer(signal.ITIMER_REAL, timeout_s)
                results.append(_result(answer, request))
            signal.setitimer(signal.ITIMER_REAL, 0)
            current[0] = 0
            body, buffers = _pickled(results)
            sizes = [buffer.raw().nbytes for buffer in buffers]
            if buffers and os.pwritev(memory, buffers, 0) != sum(sizes):
                raise MemoryError("no memory for the answer")
            pipe.send_bytes(pickle.dumps((body, sizes)))
    except (EOFError, OSError):  # the parent has ended
        os._exit(0)
    finally:
        os._exit(1)


def _pickled(results: list[Any]) -> tuple[bytes, list[pickle.PickleBuffer]]:
    body, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
    pickler = pickle.Pickler(body, protocol=5, buffer_callback=buffers.append)
    pickler.dispatch_table = copyreg.dispatch_table | {Tensor: _reduce_tensor}
    pickler.dump(results)
    return body.getvalue(), buffers


def _reduce_tensor(tensor: Tensor) -> tuple[Any, ...]:
    """Reduce a tensor to an array in the order of its memory; torch's own way copies it several times."""
    order = sorted(range(tensor.ndim), key=tensor.stride, reverse=True)
    return _tensor, (tensor.permute(order).contiguous().numpy(), [order.index(axis) for axis in range(tensor.ndim)])


def _tensor(array: Any, axes: list[int]) -> Tensor:
    return torch.from_numpy(array).permute(axes)


def _result(answer: Answer, request: Any) -> Any:
    try:
        return answer(request)
    except Exception as error:  # raised again when the answer is received
        trace = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # the methods of a foreign class may raise anything
            error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(f"in the worker process, for the request {request!r}:\n{trace}")
        return error
