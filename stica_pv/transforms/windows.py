"""Sampling policies: pure functions from a duration and a generator to the windows of a video."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from stica_pv.errors import UsageError, check_choice
from stica_pv.keyed_random import chance, uniform
from stica_pv.structures import AtEnd, AudioSpec, FrameTransform, Views, ViewSpec, Window, WindowPolicy
from stica_pv.transforms.spatial import RandomResizedCrop

ShortVideos = Literal["loop", "repeat_last"]
SHORT_VIDEOS: tuple[ShortVideos, ...] = ("loop", "repeat_last")


def end_of(short_videos: ShortVideos) -> AtEnd:
    """Returns the rule for the end of a video that is shorter than its window."""
    return "loop" if short_videos == "loop" else "pad"


def one_window(name: str, seconds: float, at_end: AtEnd = "shift") -> WindowPolicy:
    """Returns the policy of STiCA: one window, its start uniform over every start that fits."""
    return partial(_sample_one, name, seconds, at_end)  # not a function within this one: workers may be spawned


def _sample_one(
    name: str, seconds: float, at_end: AtEnd, duration_s: float, rng: torch.Generator
) -> Mapping[str, Window]:
    return {name: Window(uniform(0.0, max(0.0, duration_s - seconds), rng), seconds, at_end)}


def random_clip(
    *,
    frames: int,
    fps: float,
    size: int,
    sample_rate: int | None = None,
    names: tuple[str, ...] = ("clip",),
    transform: FrameTransform | None = None,
    audio_required: bool = True,
) -> Views:
    """Returns one random window of each video in one or several views; the first has the audio.

    Args:
        frames: Frames per clip, at least 1; with `fps` they decide its length, ``frames / fps`` seconds.
        fps: Frames per second of the clip; each is the frame of the video that is nearest in time.
        size: Side of a view in pixels.
        sample_rate: Sample rate of the audio in Hz; None reads no audio.
        names: Names of the views in a batch; each is cropped on its own.
        transform: Crop of the frames, None for `RandomResizedCrop`.
        audio_required: Whether videos without audio are left out if audio is read; otherwise theirs is silence.

    Raises:
        ValueError: A number is not positive.
    """
    if frames < 1:
        raise ValueError(f"frames: expected at least 1, got {frames}")
    specs = tuple(
        ViewSpec(
            name=name,
            window="clip",
            frames=frames,
            fps=fps,
            size=size,
            transform=transform or RandomResizedCrop(),
            audio=AudioSpec(sample_rate) if sample_rate is not None and name == names[0] else None,
        )
        for name in names
    )
    seconds = frames / fps
    needs_audio = sample_rate is not None and audio_required
    return Views(specs, one_window("clip", seconds), min_seconds=seconds, needs_audio=needs_audio)


def independent_windows(names: tuple[str, ...], seconds: float, at_end: AtEnd = "shift") -> WindowPolicy:
    """Returns the policy of GDT: one window per name, each start uniform over all that fit, independently."""
    return partial(_sample_each, names, seconds, at_end)


def _sample_each(
    names: tuple[str, ...], seconds: float, at_end: AtEnd, duration_s: float, rng: torch.Generator
) -> Mapping[str, Window]:
    slack = max(0.0, duration_s - seconds)
    return {name: Window(uniform(0.0, slack, rng), seconds, at_end) for name in names}


INTERVALS = ("power", "uniform", "increasing", "constant")


@dataclass(frozen=True)
class IntervalSettings:
    """How far apart CVRL's two clips start (arXiv 2008.03800, section 3.2).

    With M = duration - length of a clip, the largest distance that fits, and x = distance / M:

    Attributes:
        kind: Distribution of x. ``power``: density (p + 1) / p · (1 - x^p), decreasing; ``uniform``; ``increasing``:
            density 2x; ``constant``: always `gap_seconds`, or M where that is less. 0 gives SimCLR's identical starts.
        power: Exponent p > 0; 1 is the paper's linear decrease.
        gap_seconds: Distance for ``constant``.
    """

    kind: str = "power"
    power: float = 1.0
    gap_seconds: float = 0.0

    def __post_init__(self) -> None:
        check_choice("CVRL.INTERVAL", self.kind, INTERVALS)
        if self.power <= 0 or self.gap_seconds < 0:
            raise UsageError(f"CVRL: POWER must be > 0 and GAP_SECONDS >= 0, got {self.power} and {self.gap_seconds}")

    def distance(self, largest: float, u: float) -> float:
        """Returns the distance in seconds, 0 to `largest`, for u in [0, 1), by the inverse distribution function."""
        if self.kind == "constant":
            return min(self.gap_seconds, largest)
        if self.kind == "uniform":
            return largest * u
        if self.kind == "increasing":
            return largest * math.sqrt(u)
        return largest * _inverse_power(self.power, u)


def _inverse_power(p: float, u: float) -> float:
    """Solves (p + 1) / p · x - x^(p + 1) / p = u for x in [0, 1]; closed form for p = 1, else by bisection."""
    if p == 1:
        return 1 - math.sqrt(1 - u)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = ((p + 1) * middle - middle ** (p + 1)) / p < u
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def interval_windows(names: tuple[str, str], seconds: float, settings: IntervalSettings) -> WindowPolicy:
    """Returns the policy of CVRL: two windows a sampled distance apart, in random order; a short video is looped."""
    return partial(_sample_interval, names, seconds, settings)


def _sample_interval(
    names: tuple[str, str], seconds: float, settings: IntervalSettings, duration_s: float, rng: torch.Generator
) -> Mapping[str, Window]:
    largest = duration_s - seconds
    u, offset, swapped = uniform(0.0, 1.0, rng), uniform(0.0, 1.0, rng), chance(0.5, rng)
    if largest <= 0:  # as released: both starts anywhere in the looped video, independently
        starts = [duration_s * u, duration_s * offset]
        return {name: Window(start, seconds, "loop") for name, start in zip(names, starts, strict=True)}
    distance = settings.distance(largest, u)
    first = (largest - distance) * offset
    starts = [first, first + distance]
    if swapped:
        starts.reverse()
    return {name: Window(start, seconds, "shift") for name, start in zip(names, starts, strict=True)}
