"""Views: the parts of each video that a task or an evaluation needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from stica_pv.structures.media import Window


class FrameTransform(Protocol):
    """Transform of a view's frames in the loader: everything that makes data smaller, on uint8."""

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Maps uint8 (C, T, H, W) to uint8 (C, T, size, size), all frames alike; C is 2 for optical flow.

        All randomness comes from `rng`. A frame that is used more than once may be passed once (`Clip.frame_index`).
        """


@dataclass(frozen=True)
class AudioSpec:
    """Audio of a view: mono at `sample_rate_hz`, as long as the view's window."""

    sample_rate_hz: int

    def __post_init__(self) -> None:
        if self.sample_rate_hz <= 0:
            raise ValueError(f"sample_rate_hz must be positive, got {self.sample_rate_hz}")


@dataclass(frozen=True)
class ViewSpec:
    """One view of each video.

    Attributes:
        name: Key of the view in a `Batch`.
        window: Name of its window; views that share a window are decoded once.
        frames: Number of frames, or of optical-flow fields; 0 for a view of audio alone.
        fps: Frames per second.
        size: Side of the square output in pixels.
        transform: The spatial transform; may be None only without frames.
        reversed: Whether time runs backwards, in frames and audio.
        audio: Audio of the view, or None.
        flow: Whether the view holds the stored optical flow of its window instead of frames.
    """

    name: str
    window: str
    frames: int
    fps: float
    size: int
    transform: FrameTransform | None
    reversed: bool = False
    audio: AudioSpec | None = None
    flow: bool = False

    def __post_init__(self) -> None:
        if self.frames < 0 or (self.frames > 0 and (self.fps <= 0 or self.size <= 0 or self.transform is None)):
            raise ValueError(f"view {self.name!r}: frames need frames, fps and size > 0 and a transform: {self}")
        if self.frames == 0 and self.audio is None:
            raise ValueError(f"view {self.name!r} has neither frames nor audio")
        if self.flow and (self.reversed or not self.frames):
            raise ValueError(f"view {self.name!r}: flow needs frames > 0, and none is stored of a reversed video")


WindowPolicy = Callable[[float, torch.Generator], Mapping[str, Window]]
"""(duration in seconds, generator) -> the windows by name. Pure: the same generator state gives the same windows."""


@dataclass(frozen=True)
class Views:
    """All views of a task, how their windows are sampled, and what a file must contain.

    Attributes:
        specs: Specifications of the views.
        sample_windows: Samples the windows that the views name.
        min_seconds: Shortest usable file; shorter ones are left out when the list is opened.
        needs_audio: Whether files without audio are unusable.
    """

    specs: tuple[ViewSpec, ...]
    sample_windows: WindowPolicy
    min_seconds: float
    needs_audio: bool

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.specs]
        if len(set(names)) != len(names):
            raise ValueError(f"view names must differ, got {names}")
        for name in {spec.window for spec in self.specs}:
            sharing = [spec for spec in self.specs if spec.window == name]
            frames = {(spec.frames, spec.fps) for spec in sharing if spec.frames}
            rates = {spec.audio.sample_rate_hz for spec in sharing if spec.audio}
            if len(frames) > 1 or len(rates) > 1:
                raise ValueError(f"views of window {name!r} differ in frames, fps or audio rate: {sharing}")
