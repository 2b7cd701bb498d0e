"""Reads in a worker process, so that a decoder that hangs or crashes affects a single file, which is named."""

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.data import get_worker_info

from stica_pv.data.isolation.worker_process import ENDED, KILLED, TIMED_OUT, WorkerFailure, WorkerProcess
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.structures import Clip, ClipRequest

Reader = Callable[[str, Mapping[str, ClipRequest]], Mapping[str, Clip]]
Finish = Callable[..., Any]

_in_worker = False  # whether this process is a worker of our loader; torch has its own flag


def is_lasting(cause: str) -> bool:
    """Return whether a file with this cause should be skipped: each read would cost a time-out or a process."""
    return cause.startswith((TIMED_OUT, KILLED))


def lost_a_process(cause: str) -> bool:
    """Return whether the cause is the loss of a process, which may not happen in another run."""
    return is_lasting(cause) or cause == ENDED


class GuardedReader:
    """A reader whose calls in a loader worker run in a separate process of that worker, with a time-out.

    If the process dies, a new one reads the file again, because the cause may be external, e.g. lack of memory. If that
    one dies too, or the process hangs, the worker raises `UnreadableClip`. Outside of workers (``NUM_WORKERS`` 0), and
    on systems other than Linux, the reader is called directly, without protection.
    """

    def __init__(self, reader: Reader, *, timeout_s: float) -> None:
        """Take the reader.

        Args:
            reader: Returns the clips of a file, or raises `UnreadableClip`.
            timeout_s: Time limit per file in seconds; 0 for none, crashes are then still caught.
        """
        if timeout_s < 0:
            raise UsageError(f"DATA.READ_TIMEOUT_SECONDS must be >= 0, got {timeout_s}")
        self.reader, self.timeout_s = reader, timeout_s
        self._process: WorkerProcess | None = None
        self._finish: Finish | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_process": None, "_finish": None}

    def __call__(self, path: str, requests: Mapping[str, ClipRequest]) -> Mapping[str, Clip]:
        """Read windows of a file.

        Raises:
            UnreadableClip: The request cannot be fulfilled, takes too long, or crashes the decoder.
        """
        if not _guards():
            return self.reader(path, requests)
        packed = self._ask(_packed_clips, path, requests)
        return {name: _unpacked(*arrays) for name, arrays in packed.items()}

    def then(self, finish: Finish, path: str, requests: Mapping[str, ClipRequest], *args: Any) -> Any:
        """Read windows and return ``finish(path, clips, *args)``, computed in the process that reads.

        Args:
            finish: Function whose result pickles well (arrays, not tensors); it need not be picklable itself.
            path: The file.
            requests: Windows to read.
            args: Picklable arguments.
        """
        return (
            self._ask(finish, path, requests, *args) if _guards() else finish(path, self.reader(path, requests), *args)
        )

    def _ask(self, finish: Finish, path: str, requests: Mapping[str, ClipRequest], *args: Any) -> Any:
        result = self._ask_once(finish, (path, dict(requests), args))
        if isinstance(result, WorkerFailure) and result.may_be_retried:
            result = self._ask_once(finish, (path, dict(requests), args))
        if isinstance(result, WorkerFailure):
            raise UnreadableClip(path, result.cause)
        return result

    def _ask_once(self, finish: Finish, request: tuple[Any, ...]) -> Any:
        if self._process is not None and self._finish != finish:
            self._process.stop()
            self._process = None
        if self._process is None:
            self._process, self._finish = (
                WorkerProcess(functools.partial(_answer, self.reader, finish), self.timeout_s),
                finish,
            )
        self._process.ask(request)
        (result,) = self._process.receive()
        if isinstance(result, WorkerFailure):
            self._process = None
        return result


def read_then(reader: Reader, finish: Finish, path: str, requests: Mapping[str, ClipRequest], *args: Any) -> Any:
    """Return ``finish(path, clips, *args)`` for any reader; see `GuardedReader.then`."""
    if isinstance(reader, GuardedReader):
        return reader.then(finish, path, requests, *args)
    return finish(path, reader(path, requests), *args)


def begin_worker() -> None:
    """Note that this process is a worker of our loader."""
    global _in_worker
    _in_worker = True


def _guards() -> bool:
    return (_in_worker or get_worker_info() is not None) and sys.platform == "linux"


def _answer(reader: Reader, finish: Finish, request: tuple[str, Mapping[str, ClipRequest], tuple[Any, ...]]) -> Any:
    path, requests, args = request
    return finish(path, reader(path, requests), *args)


def _packed_clips(path: str, clips: Mapping[str, Clip]) -> dict[str, tuple[Any, ...]]:
    return {name: _packed(clip) for name, clip in clips.items()}


def _packed(clip: Clip) -> tuple[Any, ...]:
    # As arrays, since pickling tensors uses torch.save. Frames keep their memory layout, (T, H, W, C).
    unique_frames = clip.unique_frames.permute(1, 2, 3, 0).contiguous().numpy()
    frame_index = None if clip.frame_index is None else clip.frame_index.numpy()
    arrays = (
        unique_frames,
        frame_index,
        clip.frame_times_s.numpy(),
        clip.audio.numpy(),
        clip.flow.contiguous().numpy(),
    )
    return *arrays, clip.audio_rate_hz, clip.video_valid, clip.audio_valid, clip.audio_error


def _unpacked(
    unique_frames: Any,
    frame_index: Any,
    times: Any,
    audio: Any,
    flow: Any,
    rate_hz: int | None,
    video_valid: float,
    audio_valid: float,
    audio_error: str,
) -> Clip:
    return Clip(
        torch.from_numpy(unique_frames).permute(3, 0, 1, 2),
        torch.from_numpy(times),
        torch.from_numpy(audio),
        rate_hz,
        video_valid,
        audio_valid,
        frame_index=None if frame_index is None else torch.from_numpy(frame_index),
        flow=torch.from_numpy(flow),
        audio_error=audio_error,
    )
