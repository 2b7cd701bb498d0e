"""The values that travel between the floors: what a task wants to see, what a file gives, what a step yields.

Axis letters: B batch, C channel, T time, H height, W width, S audio sample, N window (crop), K token, D embedding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

AtEnd = Literal["pad", "shift", "loop"]
AT_END: tuple[AtEnd, ...] = ("pad", "shift", "loop")

Embeddings = dict[str, Tensor]
"""Named groups of rows, each (G, B, D): G groups (crops, views) of B samples. `distributed.gather` joins the B axes."""


@dataclass(frozen=True)
class Window:
    """A stretch of a file's time line; 0 s is the presentation time of its first picture (of its sound, if no picture).

    Attributes:
        start_s: Start in seconds, >= 0.
        seconds: Length in seconds, > 0.
        at_end: What happens where the window runs past the end: ``pad`` repeats the last picture and adds
            silence, ``shift`` moves the window back to end with the file, ``loop`` plays the file again.
    """

    start_s: float
    seconds: float
    at_end: AtEnd = "shift"

    def __post_init__(self) -> None:
        if self.start_s < 0 or self.seconds <= 0:
            raise ValueError(f"a window needs start_s >= 0 and seconds > 0, got {self}")
        if self.at_end not in AT_END:
            raise ValueError(f"at_end: got {self.at_end!r}, expected one of {AT_END}")


@dataclass(frozen=True)
class ClipRequest:
    """What to read in one window: `frames` pictures at `fps` (0: no picture), sound at `audio_rate_hz` (None: none)."""

    window: Window
    frames: int
    fps: float
    audio_rate_hz: int | None = None

    @property
    def audio_samples(self) -> int:
        """Length of the sound, exactly ``round(seconds * rate)``."""
        return 0 if self.audio_rate_hz is None else round(self.window.seconds * self.audio_rate_hz)


@dataclass(frozen=True)
class Clip:
    """What a file gave for one window.

    Attributes:
        frames: uint8 (C, T, H, W), RGB.
        frame_times_s: float64 (T,), the presentation time of each picture on the file's time line.
        audio: float32 (S,), mono in [-1, 1], starting at the start of the window; empty if none was asked for.
        audio_rate_hz: Sample rate of `audio`, None if none was asked for.
        video_valid: Share of the asked pictures that the file really holds, 0 to 1 (the rest repeats the last).
        audio_valid: Share of the asked samples that the file really holds, 0 to 1 (the rest is silence).
    """

    frames: Tensor
    frame_times_s: Tensor
    audio: Tensor
    audio_rate_hz: int | None
    video_valid: float
    audio_valid: float

    def __post_init__(self) -> None:
        if self.frames.dtype != torch.uint8 or self.frames.ndim != 4:
            raise ValueError(f"frames: expected uint8 (C, T, H, W), got {describe(self.frames)}")
        if self.audio.dtype != torch.float32 or self.audio.ndim != 1:
            raise ValueError(f"audio: expected float32 (S,), got {describe(self.audio)}")

    def __repr__(self) -> str:
        return (
            f"Clip(frames={describe(self.frames)}, audio={describe(self.audio)} at {self.audio_rate_hz} Hz, "
            f"video_valid={self.video_valid:.2f}, audio_valid={self.audio_valid:.2f})"
        )


class FrameTransform(Protocol):
    """What a view does to its frames in the loader: everything that makes data smaller, on uint8."""

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Maps uint8 (C, T, H, W) to uint8 (C, T, size, size), all draws taken from `rng`."""


@dataclass(frozen=True)
class AudioSpec:
    """Sound of a view: mono at `sample_rate_hz`, as long as the view's window."""

    sample_rate_hz: int

    def __post_init__(self) -> None:
        if self.sample_rate_hz <= 0:
            raise ValueError(f"sample_rate_hz must be positive, got {self.sample_rate_hz}")


@dataclass(frozen=True)
class ViewSpec:
    """One thing a task wants to see of each video.

    Attributes:
        name: Key of the view in a `Batch`.
        window: Name of the window it looks at; views that share one are decoded once.
        frames: Number of pictures; 0 for a view of sound alone.
        fps: Pictures per second.
        size: Side of the square output in pixels.
        transform: The spatial transform; may be None only without pictures.
        reversed: Time runs backwards, in picture and sound.
        audio: The sound to go with it, or None.
    """

    name: str
    window: str
    frames: int
    fps: float
    size: int
    transform: FrameTransform | None
    reversed: bool = False
    audio: AudioSpec | None = None

    def __post_init__(self) -> None:
        if self.frames < 0 or (self.frames > 0 and (self.fps <= 0 or self.size <= 0 or self.transform is None)):
            raise ValueError(f"view {self.name!r}: pictures need frames, fps and size > 0 and a transform: {self}")
        if self.frames == 0 and self.audio is None:
            raise ValueError(f"view {self.name!r} asks for neither pictures nor sound")


WindowPolicy = Callable[[float, torch.Generator], Mapping[str, Window]]
"""(duration in seconds, generator) -> the windows by name. Pure: the same generator state gives the same windows."""


@dataclass(frozen=True)
class Views:
    """All a task wants of a video: the views, how their windows are drawn, and what a file must hold.

    Attributes:
        specs: The views.
        draw_windows: Draws the windows that the views name.
        min_seconds: Shortest usable file; shorter ones are left out when the list is opened.
        needs_audio: Whether files without sound are of no use.
    """

    specs: tuple[ViewSpec, ...]
    draw_windows: WindowPolicy
    min_seconds: float
    needs_audio: bool

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.specs]
        if len(set(names)) != len(names):
            raise ValueError(f"view names must differ, got {names}")
        for name in {spec.window for spec in self.specs}:
            sharing = [spec for spec in self.specs if spec.window == name]
            pictures = {(spec.frames, spec.fps) for spec in sharing if spec.frames}
            rates = {spec.audio.sample_rate_hz for spec in sharing if spec.audio}
            if len(pictures) > 1 or len(rates) > 1:
                raise ValueError(f"views of window {name!r} differ in frames, fps or audio rate: {sharing}")


class SampleKey(NamedTuple):
    """Names one sample of a run; all its draws derive from (seed, epoch, index)."""

    epoch: int
    index: int


@dataclass(frozen=True)
class StepKeys:
    """Names one step of a run on one rank: what `Task.draw` may derive randomness from.

    Attributes:
        seed: Seed of the run.
        step: Global step, the same on every rank.
        epoch: Epoch of the step.
        indices: Sample indices of this rank's part of the batch.
    """

    seed: int
    step: int
    epoch: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class ReadFailure:
    """A file that passed the manifest and failed in reading."""

    path: str
    cause: str


@dataclass(frozen=True)
class Batch:
    """Collated samples, by view name.

    Attributes:
        video: uint8 (B, C, T, H, W) by view.
        audio: float32 (B, S) by view.
        audio_valid: float32 (B,) by view, share of the samples that are real sound.
        index: int64 (B,), the samples' positions in the list (of the replacement where a file failed).
        label: int64 (B,) or None.
        failures: Files that could not be read and were replaced.
    """

    video: dict[str, Tensor]
    audio: dict[str, Tensor]
    audio_valid: dict[str, Tensor]
    index: Tensor
    label: Tensor | None = None
    failures: tuple[ReadFailure, ...] = ()

    def __post_init__(self) -> None:
        size = self.index.shape[0]
        for kind, views, ndim in (("video", self.video, 5), ("audio", self.audio, 2)):
            for name, value in views.items():
                if value.ndim != ndim or value.shape[0] != size:
                    raise ValueError(f"{kind}[{name!r}]: expected {ndim} axes and B = {size}, got {describe(value)}")
        if self.audio.keys() != self.audio_valid.keys():
            raise ValueError(f"audio {list(self.audio)} and audio_valid {list(self.audio_valid)} name other views")

    def __len__(self) -> int:
        return int(self.index.shape[0])

    def __repr__(self) -> str:
        parts = [f"{kind}[{name}]={describe(value)}" for kind, views in (("video", self.video), ("audio", self.audio))
                 for name, value in views.items()]
        return f"Batch(B={len(self)}, {', '.join(parts)}, failures={len(self.failures)})"

    def _map(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        def each(views: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: move(value) for name, value in views.items()}

        label = None if self.label is None else move(self.label)
        return Batch(each(self.video), each(self.audio), each(self.audio_valid), move(self.index), label, self.failures)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Batch":
        """Returns the batch on `device`."""
        return self._map(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Returns the batch in page-locked memory; the loader calls this."""
        return self._map(lambda x: x.pin_memory())


@dataclass(frozen=True)
class CropPlan:
    """Feature-crop windows as averaging weights; every row sums to one.

    Attributes:
        space: (N, H·W), or (B, N, H·W) for windows of each sample's own.
        time: (N, K, T), or (B, N, K, T): row k averages the steps that become token k.
    """

    space: Tensor
    time: Tensor

    def __post_init__(self) -> None:
        if self.space.ndim + 1 != self.time.ndim or self.space.shape[:-1] != self.time.shape[:-2]:
            raise ValueError(f"space (…, N, H·W) and time (…, N, K, T) do not fit: {self}")

    def __repr__(self) -> str:
        return f"CropPlan(space={describe(self.space)}, time={describe(self.time)})"

    def to(self, device: torch.device) -> "CropPlan":
        """Returns the plan on `device`."""
        return CropPlan(self.space.to(device, non_blocking=True), self.time.to(device, non_blocking=True))


@dataclass(frozen=True)
class LossTerms:
    """Result of a step.

    Attributes:
        total: 0-d tensor with gradient, to be minimised.
        scalars: Detached 0-d tensors to log, by name; the engine averages them over ranks on logged steps.
    """

    total: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)


def describe(value: Tensor) -> str:
    """Returns dtype and shape of a tensor for messages, e.g. ``uint8(3, 16, 112, 112)``."""
    return f"{str(value.dtype).removeprefix('torch.')}{tuple(value.shape)}"
