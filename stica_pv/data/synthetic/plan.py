"""Parameters of a generated clip, sampled before anything is rendered.

A class is an ordered sequence of events: the objects move up, move down, grow or shrink. Position and size of an object
are periodic (an object that leaves at the top reappears at the bottom, one at its largest fades into its smallest),
with a random start. Hence a single frame has exactly the same distribution in every class and at every time; only
motion and its order distinguish the classes. Each event has its own audio; between events, objects are still and the
audio is silent. A horizontal flip does not change the class.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from stica_pv.data.conversion.encoding import check_aac_rate
from stica_pv.errors import UsageError, check_choice
from stica_pv.keyed_random import chance, integer, seed_of, uniform

Floats = NDArray[np.float32]
Range = tuple[float, float]

EVENTS = ("up", "down", "grow", "shrink")
CLASSES = (
    ("up", "down"), ("down", "up"), ("grow", "shrink"), ("shrink", "grow"),
    ("up", "grow"), ("grow", "up"), ("down", "shrink"), ("shrink", "down"),
)  # fmt: skip
_HARMONICS = 4


@dataclass(frozen=True)
class SyntheticSettings:
    """Factors of the generated data. Lengths are in units of the frame's side, 0 to 1.

    Attributes:
        classes: The classes, each an ordered tuple of events out of `EVENTS`; all equally long.
        seconds: Length of a clip.
        fps: Frames per second.
        size: Side of the square frame in pixels, even.
        audio_rate_hz: Sample rate of the mono audio, one of those of AAC.
        objects: Number of objects, which all take part in the events.
        position_range: Share of the torus over which objects start; 1 hides the class from single frames.
        radius: Smallest and largest radius of an object.
        scale_range: Share of the size range over which objects start; 1 hides the class from single frames.
        speed: Range of the speed of movement, sides per second.
        growth: Range of the speed of growth, size ranges per second.
        event_seconds: Range of the length of an event; an event stays within its equal share of the clip.
        timing_jitter: 0 puts events in the middle of their share, 1 anywhere in it.
        image_noise: Range of the standard deviation of the pixel noise, in gray levels of 255.
        agreement: Probability that the audio belongs to the clip's class; else a random class is used.
        pitch_hz: Range of the base pitch.
        loudness_db: Range of the loudness relative to full scale.
        audio_noise_db: Range of the noise relative to the audio.
        leak: Weight of a class color in the background, 0 to 1; 0 hides the class from single frames.
        clutter: Brightness of the background relative to the objects, 0 to 1; 1 makes them hard to distinguish.
    """

    classes: tuple[tuple[str, ...], ...] = CLASSES
    seconds: float = 2.0
    fps: int = 12
    size: int = 64
    audio_rate_hz: int = 16000
    objects: int = 5
    position_range: float = 1.0
    radius: Range = (0.1, 0.3)
    scale_range: float = 1.0
    speed: Range = (0.35, 0.55)
    growth: Range = (0.8, 1.2)
    event_seconds: Range = (0.85, 0.85)
    timing_jitter: float = 0.3
    image_noise: Range = (0.0, 8.0)
    agreement: float = 1.0
    pitch_hz: Range = (350.0, 550.0)
    loudness_db: Range = (-12.0, -6.0)
    audio_noise_db: Range = (-40.0, -30.0)
    leak: float = 0.0
    clutter: float = 0.0

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or len({len(events) for events in self.classes}) != 1 or not self.classes[0]:
            raise UsageError(f"classes: expected two or more sequences of equally many events, got {self.classes}")
        for event in {event for events in self.classes for event in events}:
            check_choice("classes", event, EVENTS)
        self._check_numbers()
        if self.event_seconds[1] > self.slot_seconds:
            raise UsageError(
                f"event_seconds: {self.event_seconds[1]} s does not fit into {self.slot_seconds} s, the share of one "
                f"event; shorten it or raise seconds"
            )

    def _check_numbers(self) -> None:
        for name in ("seconds", "fps", "size", "audio_rate_hz", "objects"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name}: expected above 0, got {getattr(self, name)}")
        check_aac_rate(self.audio_rate_hz)
        if self.size % 2:
            raise UsageError(f"size: expected an even number, got {self.size}")
        for name in ("position_range", "scale_range", "timing_jitter", "agreement", "leak", "clutter"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        for name in ("radius", "speed", "growth", "event_seconds", "image_noise", "pitch_hz"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise UsageError(f"{name}: expected 0 <= low <= high, got {low}, {high}")
        if not 0 < self.radius[0] <= self.radius[1] < 0.5:
            raise UsageError(f"radius: expected above 0 and below 0.5, got {self.radius}")

    @property
    def slot_seconds(self) -> float:
        """An event's share of the clip."""
        return self.seconds / len(self.classes[0])

    @property
    def frames(self) -> int:
        """Frames in a clip."""
        return round(self.seconds * self.fps)

    @property
    def samples(self) -> int:
        """Sample of audio in a clip."""
        return round(self.seconds * self.audio_rate_hz)


@dataclass(frozen=True)
class Event:
    """Event `name` from `start_s` to `stop_s`, with `rate` in its unit per second and `cycles` repeats of its audio."""

    name: str
    start_s: float
    stop_s: float
    rate: float
    cycles: int


@dataclass(frozen=True)
class ObjectPlan:
    """Start (x, y, scale, each in [0, 1)) and appearance: norm 0, 1, 2 is a square, a diamond, a disc."""

    start: tuple[float, float, float]
    norm: int
    angle: float
    stripes: tuple[float, float]
    colors: Floats


@dataclass(frozen=True)
class ClipPlan:
    """All random parameters of a clip; `seed` is for background and noise, `background` (2, 3) has two colors."""

    events: tuple[Event, ...]
    audio_events: tuple[Event, ...]
    objects: tuple[ObjectPlan, ...]
    background: Floats
    image_noise: float
    pitch_hz: float
    octaves: float
    harmonics: tuple[float, ...]
    loudness_db: float
    audio_noise_db: float
    seed: int = field(repr=False)


def sample_plan(label: int, rng: torch.Generator, settings: SyntheticSettings) -> ClipPlan:
    """Sample the parameters of a clip of class `label`."""
    s = settings
    if not 0 <= label < len(s.classes):
        raise UsageError(f"label: expected 0 to {len(s.classes) - 1}, got {label}")
    events = tuple(_sample_event(i, name, rng, s) for i, name in enumerate(s.classes[label]))
    audio_events = events
    if not chance(s.agreement, rng):
        other = s.classes[integer(0, len(s.classes) - 1, rng)]
        audio_events = tuple(_sample_event(i, name, rng, s) for i, name in enumerate(other))
    background = _colors(rng) * np.float32(0.3 + 0.7 * s.clutter)
    background += s.leak * (_class_color(label, len(s.classes)) - background)
    return ClipPlan(
        events,
        audio_events,
        objects=tuple(_sample_object(rng, s) for _ in range(s.objects)),
        background=background,
        image_noise=uniform(*s.image_noise, rng),
        pitch_hz=float(np.exp(uniform(float(np.log(s.pitch_hz[0])), float(np.log(s.pitch_hz[1])), rng))),
        octaves=uniform(1.0, 1.6, rng),
        harmonics=tuple(uniform(0.1, 1.0, rng) / (1 + i) for i in range(_HARMONICS)),
        loudness_db=uniform(*s.loudness_db, rng),
        audio_noise_db=uniform(*s.audio_noise_db, rng),
        seed=seed_of("noise", int(torch.randint(2**62, (), generator=rng))),
    )


def _sample_event(position: int, name: str, rng: torch.Generator, s: SyntheticSettings) -> Event:
    length = uniform(*s.event_seconds, rng)
    slack = s.slot_seconds - length
    start = position * s.slot_seconds + slack * (0.5 + s.timing_jitter * uniform(-0.5, 0.5, rng))
    rate = uniform(*(s.speed if name in ("up", "down") else s.growth), rng)
    return Event(name, start, start + length, rate, integer(2, 3, rng))


def _sample_object(rng: torch.Generator, s: SyntheticSettings) -> ObjectPlan:
    x, y = (0.5 + s.position_range * uniform(-0.5, 0.5, rng) for _ in range(2))
    scale = 0.5 + s.scale_range * uniform(-0.5, 0.5, rng)
    norm, angle = integer(0, 2, rng), uniform(0.0, 6.28, rng)
    stripes = (uniform(2.0, 7.0, rng), uniform(0.0, 6.28, rng))
    return ObjectPlan((x, y, scale), norm, angle, stripes, 255 - _colors(rng) * np.float32(0.5 + 0.5 * s.clutter))


def _colors(rng: torch.Generator) -> Floats:
    """Sample two colors, float32 (2, 3) in 0 to 255."""
    colors: Floats = (255 * torch.rand(2, 3, generator=rng)).numpy()
    return colors


def _class_color(label: int, classes: int) -> Floats:
    angles = 2 * np.pi * (label / classes + np.arange(3) / 3)
    return np.asarray(127.5 + 127.5 * np.cos(angles), np.float32)
