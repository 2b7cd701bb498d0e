"""Reads in a helper process, so that a decoder that hangs or kills its process costs one file and names it."""

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.utils.data import get_worker_info

from stica_pv.data.helper import KILLED, TIMED_OUT, Helper, Lost
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.structures import Clip, ClipRequest

Reader = Callable[[str, Mapping[str, ClipRequest]], Mapping[str, Clip]]


def is_lasting(cause: str) -> bool:
    """Says whether a file that failed so is better not touched again: it costs a time-out or a process each time."""
    return cause.startswith((TIMED_OUT, KILLED))


class GuardedReader:
    """A reader whose calls in a loader's worker run in a helper process of that worker, under a time-out.

    When the helper hangs or dies, the worker raises `UnreadableClip` and starts a new one. Outside a worker
    (``NUM_WORKERS`` 0), and on systems other than Linux, the reader is called as it is, without protection.
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
        self._helper: Helper | None = None

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
            self._helper = Helper(functools.partial(_read, self.reader), self.timeout_s)
        self._helper.ask((path, dict(requests)))
        result = self._helper.receive()
        if isinstance(result, Lost):
            self._helper = None
            raise UnreadableClip(path, result.cause)
        return {name: _unpacked(*packed) for name, packed in result.items()}


def _read(reader: Reader, question: tuple[str, Mapping[str, ClipRequest]]) -> dict[str, tuple[Any, ...]]:
    return {name: _packed(clip) for name, clip in reader(*question).items()}


def _packed(clip: Clip) -> tuple[Any, ...]:
    # As arrays: tensors would be pickled by way of torch.save. Pictures keep their layout in memory, (T, H, W, C).
    frames = clip.frames.permute(1, 2, 3, 0).contiguous().numpy()
    rest = (clip.audio_rate_hz, clip.video_valid, clip.audio_valid)
    return frames, clip.frame_times_s.numpy(), clip.audio.numpy(), *rest


def _unpacked(frames: Any, times: Any, audio: Any, rate_hz: int | None, video_valid: float, audio_valid: float) -> Clip:
    pictures = torch.from_numpy(frames).permute(3, 0, 1, 2)
    return Clip(pictures, torch.from_numpy(times), torch.from_numpy(audio), rate_hz, video_valid, audio_valid)
