"""Measures the speed of our reader on files and on their low-resolution copies."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from stica_pv.data.decoding.reader import read
from stica_pv.data.decoding.stream_checks import decodable
from stica_pv.data.manifest.manifest import probe
from stica_pv.errors import UnreadableClip
from stica_pv.keyed_random import generator, uniform
from stica_pv.progress import Progress
from stica_pv.structures import ClipRequest, Window

_ROUNDS = 3


@dataclass(frozen=True)
class DecodeSpeed:
    """Clips per second of one process.

    Attributes:
        files: Number of files measured.
        before: Speed on the originals.
        after: Speed on the copies.
    """

    files: int
    before: float
    after: float


def measure_decode_speed(
    pairs: Sequence[tuple[str, str]],
    *,
    short_side: int,
    audio_rate_hz: int,
    seconds: float = 2.0,
    frames: int = 16,
    files: int = 16,
) -> DecodeSpeed | None:
    """Read the same windows of originals and copies alternately, with frames of `short_side`, and audio if any.

    Args:
        pairs: Paths of originals and copies.
        short_side: Short side of the requested frames in pixels.
        audio_rate_hz: Sample rate of the requested audio.
        seconds: Length of a clip.
        frames: Number of frames of a clip.
        files: Largest number of files to measure, evenly spread over the pairs.

    Returns:
        The speeds; None if there is nothing to measure.
    """
    chosen = [pairs[i * len(pairs) // min(files, len(pairs))] for i in range(min(files, len(pairs)))]
    spent = [0.0, 0.0]
    measured = 0
    with Progress("reading speed", len(chosen)) as progress:
        for pair in chosen:
            info = probe(pair[0])
            latest = max(0.0, (info.video_seconds or info.audio_seconds) - seconds)
            num_frames = frames if decodable(info.video_codec) else 0
            rate_hz = audio_rate_hz if decodable(info.audio_codec) else None
            rng = generator("decode speed", pair[0])
            times = []
            for _ in range(_ROUNDS + 1):
                window = Window(uniform(0.0, latest, rng), seconds, "pad")
                request = ClipRequest(window, num_frames, frames / seconds, rate_hz)
                times.append([_read_seconds(path, request, short_side) for path in pair])
            before, after = (
                sum(column) for column in zip(*times[1:], strict=True)
            )  # the first one warms up the disk cache
            if before + after > 0:  # False if a read failed, which gives nan
                measured += 1
                spent = [spent[0] + before, spent[1] + after]
            progress.add()
    return DecodeSpeed(measured, *(measured * _ROUNDS / total for total in spent)) if measured else None


def _read_seconds(path: str, request: ClipRequest, short_side: int) -> float:
    """Return the duration of a read, nan if it failed."""
    start = time.perf_counter()
    try:
        read(path, {"clip": request}, short_size=short_side)
    except UnreadableClip:
        return float("nan")
    return time.perf_counter() - start
