"""What a task or an evaluation wants to see of each video."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from stica_pv.structures.media import Window


class FrameTransform(Protocol):
    """What a view does to its frames in the loader: everything that makes data smaller, on uint8."""

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Maps uint8 (C, T, H, W) to uint8 (C, T, size, size), all frames alike; C is 2 for optical flow.

        All draws are taken from `rng`. A frame that is shown more than once may come only once (`Clip.shown`).
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
    """One thing a task wants to see of each video.

    Attributes:
        name: Key of the view in a `Batch`.
        window: Name of the window it looks at; views that share one are decoded once.
        frames: Number of frames, or of fields of optical flow; 0 for a view of audio alone.
        fps: Frames per second.
        size: Side of the square output in pixels.
        transform: The spatial transform; may be None only without frames.
        reversed: Time runs backwards, in frame and audio.
        audio: The audio to go with it, or None.
        flow: It shows the stored optical flow of its window in place of the frames.
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
            raise ValueError(f"view {self.name!r} asks for neither frames nor audio")
        if self.flow and (self.reversed or not self.frames):
            raise ValueError(f"view {self.name!r}: flow needs frames > 0, and none is stored of a reversed video")


WindowPolicy = Callable[[float, torch.Generator], Mapping[str, Window]]
"""(duration in seconds, generator) -> the windows by name. Pure: the same generator state gives the same windows."""


@dataclass(frozen=True)
class Views:
    """All a task wants of a video: the views, how their windows are drawn, and what a file must hold.

    Attributes:
        specs: The views.
        draw_windows: Draws the windows that the views name.
        min_seconds: Shortest usable file; shorter ones are left out when the list is opened.
        needs_audio: Whether files without audio are of no use.
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
            frames = {(spec.frames, spec.fps) for spec in sharing if spec.frames}
            rates = {spec.audio.sample_rate_hz for spec in sharing if spec.audio}
            if len(frames) > 1 or len(rates) > 1:
                raise ValueError(f"views of window {name!r} differ in frames, fps or audio rate: {sharing}")
