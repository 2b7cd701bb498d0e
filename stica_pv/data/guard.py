"""Reads in a helper process, so that a decoder that hangs or kills its process costs one file and names it."""

import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import numpy as np
import torch
from torch.utils.data import get_worker_info

from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.structures import Clip, ClipRequest

Reader = Callable[[str, Mapping[str, ClipRequest]], Mapping[str, Clip]]

TIMED_OUT = "time-out after"
KILLED = "the decoder killed its process"

_GRACE_S = 10.0
"""How much longer than its own alarm a helper is waited for; the alarm cannot end one that a dead disk holds."""

_END_S = 2.0
"""How long to wait for the end of a helper that closed its pipe, or was killed."""

# The workers of the loader catch these to print a line; a helper shall die of them in silence.
_FATAL = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGALRM)


def is_lasting(cause: str) -> bool:
    """Says whether a file that failed so is better not touched again: it costs a time-out or a process each time."""
    return cause.startswith((TIMED_OUT, KILLED))


class GuardedReader:
    """A reader whose calls in a loader's worker run in a helper process of that worker, under a time-out.

    The helper sets itself an alarm that ends it even within a decoder. The worker then starts a new one and raises
    `UnreadableClip`. Outside a worker (``NUM_WORKERS`` 0), and on systems other than Linux, the reader is called as
    it is, without protection.
    """

    def __init__(self, reader: Reader, *, timeout_s: float) -> None:
        """Takes the reader.

        Args:
            reader: Gives the clips of a file, or raises `UnreadableClip`.
            timeout_s: Longest time for a file in seconds; 0 for none, a crash is then still caught.
        """
        if timeout_s < 0:
            raise UsageError(f"DATA.READ_TIMEOUT_SECONDS must be >= 0, got {timeout_s}")
        self.reader, self.timeout_s = reader, timeout_s
        self._helper: _Helper | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_helper": None}

    def __call__(self, path: str, requests: Mapping[str, ClipRequest]) -> Mapping[str, Clip]:
        """Reads windows of a file.

        Raises:
            UnreadableClip: The file cannot give what was asked, needs too long, or kills its decoder.
        """
        if get_worker_info() is None or sys.platform != "linux":
            return self.reader(path, requests)
        if self._helper is None:
            self._helper = _Helper(self.reader, self.timeout_s)
        try:
            result = self._helper.ask(path, requests)
        except EOFError:
            cause, self._helper = self._helper.end(), None
            raise UnreadableClip(path, cause) from None
        if isinstance(result, Exception):
            raise result
        return {name: _unpacked(*packed) for name, packed in result.items()}


class _Helper:
    """A forked process that answers requests until the pipe is closed."""

    def __init__(self, reader: Reader, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._pipe, there = Pipe()
        self._memory = os.memfd_create("clips")  # pictures take long through a pipe, in pieces of 64 KiB
        self._pid = os.fork()
        if self._pid == 0:  # not a multiprocessing.Process: a loader's worker may have none
            self._pipe.close()
            _serve(there, self._memory, reader, timeout_s)
        there.close()

    def ask(self, path: str, requests: Mapping[str, ClipRequest]) -> Any:
        """Returns the answer; raises `EOFError` if the helper died or does not answer."""
        try:
            self._pipe.send_bytes(pickle.dumps((path, dict(requests))))
            if self._timeout_s and not self._pipe.poll(self._timeout_s + _GRACE_S):
                raise EOFError
            answer, sizes = pickle.loads(self._pipe.recv_bytes())
            buffers: list[Any] = [np.empty(size, np.uint8) for size in sizes]
            os.preadv(self._memory, buffers, 0)
            return pickle.loads(answer, buffers=buffers)
        except OSError as error:
            raise EOFError from error

    def end(self) -> str:
        """Waits for the end of a helper that does not answer, or forces it; returns the cause in words."""
        self._pipe.close()
        os.close(self._memory)
        code = self._exit_code()
        if code is None:
            os.kill(self._pid, signal.SIGKILL)
            self._exit_code()  # what even that cannot end is left behind
        if code in (None, -signal.SIGALRM):
            return f"{TIMED_OUT} {self._timeout_s:g} s"
        if code == -signal.SIGKILL:  # not lasting: the file may be innocent
            return "the process that read it was killed from outside, as when memory runs out"
        return f"{KILLED} ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"

    def _exit_code(self) -> int | None:
        """Returns the exit code, minus the number of the signal that ended it; None if it does not end."""
        until = time.monotonic() + _END_S
        while time.monotonic() < until:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        return None


def _serve(pipe: Connection, memory: int, reader: Reader, timeout_s: float) -> NoReturn:
    """What the helper does; it never returns into the code of the worker that it is a copy of."""
    try:
        for number in _FATAL:
            signal.signal(number, signal.SIG_DFL)
        while True:
            path, requests = pickle.loads(pipe.recv_bytes())
            signal.setitimer(signal.ITIMER_REAL, timeout_s)
            answer = _answer(reader, path, requests)
            signal.setitimer(signal.ITIMER_REAL, 0)
            buffers: list[pickle.PickleBuffer] = []
            body = pickle.dumps(answer, protocol=5, buffer_callback=buffers.append)
            sizes = [buffer.raw().nbytes for buffer in buffers]
            if os.pwritev(memory, buffers, 0) != sum(sizes):
                raise MemoryError("no memory for the clips")
            pipe.send_bytes(pickle.dumps((body, sizes)))
    except (EOFError, OSError):  # the worker is gone
        os._exit(0)
    finally:
        os._exit(1)


def _answer(reader: Reader, path: str, requests: Mapping[str, ClipRequest]) -> Any:
    try:
        return {name: _packed(clip) for name, clip in reader(path, requests).items()}
    except Exception as error:  # raised again in the worker, whatever it is
        error.add_note(f"in the helper that read {path}:\n{traceback.format_exc()}")
        return error


def _packed(clip: Clip) -> tuple[Any, ...]:
    # As arrays: tensors would be pickled by way of torch.save. Pictures keep their layout in memory, (T, H, W, C).
    frames = clip.frames.permute(1, 2, 3, 0).contiguous().numpy()
    rest = (clip.audio_rate_hz, clip.video_valid, clip.audio_valid)
    return frames, clip.frame_times_s.numpy(), clip.audio.numpy(), *rest


def _unpacked(frames: Any, times: Any, audio: Any, rate_hz: int | None, video_valid: float, audio_valid: float) -> Clip:
    pictures = torch.from_numpy(frames).permute(3, 0, 1, 2)
    return Clip(pictures, torch.from_numpy(times), torch.from_numpy(audio), rate_hz, video_valid, audio_valid)
