"""Short ways to read a window of a made file."""

import math
from pathlib import Path

from stica_pv.data.decoding.reader import read
from stica_pv.structures import Clip, ClipRequest, Window

FPS = 25


def one(path: Path, start: float, seconds: float, frames: int, fps: float, rate: int | None = None, **kwargs) -> Clip:
    at_end = kwargs.pop("at_end", "shift")
    return read(str(path), {"w": ClipRequest(Window(start, seconds, at_end), frames, fps, rate)}, **kwargs)["w"]


def nearest_numbers(start: float, frames: int, fps: float) -> list[int]:
    return [math.ceil(round((start + i / fps) * FPS, 6) - 0.5) for i in range(frames)]
