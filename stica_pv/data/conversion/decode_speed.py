"""How fast our reader gives clips of files and of their low-resolution copies, measured side by side."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from stica_pv.data.decoding.reader import read
from stica_pv.data.decoding.stream_checks import decodable
from stica_pv.data.manifest.manifest import probe
from stica_pv.errors import UnreadableClip
from stica_pv.keyed_random import generator, uniform
from stica_pv.structures import ClipRequest, Window

_ROUNDS = 3


@dataclass(frozen=True)
class DecodeSpeed:
    """Clips per second of one process.

    Attributes:
        files: Number of files measured.
        before: Of the originals.
        after: Of the copies.
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
    """Reads the same windows of originals and copies in turns, frames reduced to `short_side` and audio if any.

    Args:
        pairs: Paths of originals and copies.
        short_side: Of the frames asked for, in pixels.
        audio_rate_hz: Of the audio asked for.
        seconds: Length of a clip.
        frames: Number of its frames.
        files: How many files to measure at most, evenly spread over the pairs.

    Returns:
        The speeds; None if there is nothing to measure.
    """
    chosen = [pairs[i * len(pairs) // min(files, len(pairs))] for i in range(min(files, len(pairs)))]
    spent = [0.0, 0.0]
    measured = 0
    for pair in chosen:
        facts = probe(pair[0])
        latest = max(0.0, (facts.video_seconds or facts.audio_seconds) - seconds)
        shown, rate_hz = (
            frames if decodable(facts.video_codec) else 0,
            audio_rate_hz if decodable(facts.audio_codec) else None,
        )
        rng = generator("decode speed", pair[0])
        times = []
        for _ in range(_ROUNDS + 1):
            window = Window(uniform(0.0, latest, rng), seconds, "pad")
            request = ClipRequest(window, shown, frames / seconds, rate_hz)
            times.append([_read_seconds(path, request, short_side) for path in pair])
        before, after = (sum(column) for column in zip(*times[1:], strict=True))  # the first filled the disk's cache
        if before + after > 0:  # not so where a read failed, which gives nan
            measured += 1
            spent = [spent[0] + before, spent[1] + after]
    return DecodeSpeed(measured, *(measured * _ROUNDS / total for total in spent)) if measured else None


def _read_seconds(path: str, request: ClipRequest, short_side: int) -> float:
    """Returns how long a read took, nan if it failed."""
    start = time.perf_counter()
    try:
        read(path, {"clip": request}, short_size=short_side)
    except UnreadableClip:
        return float("nan")
    return time.perf_counter() - start
