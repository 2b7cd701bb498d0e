"""What is asked of a file and what it gives: windows on a time line, clips of frame and audio."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

AtEnd = Literal["pad", "shift", "loop"]
AT_END: tuple[AtEnd, ...] = ("pad", "shift", "loop")


@dataclass(frozen=True)
class Window:
    """A stretch of a file's time line; 0 s is the presentation time of its first frame (of its audio, if no frame).

    Attributes:
        start_s: Start in seconds, >= 0.
        seconds: Length in seconds, > 0.
        at_end: What happens where the window runs past the end: ``pad`` repeats the last frame and adds
            silence, ``shift`` moves the window back to end with the file, ``loop`` plays the file again.
        whole_frames: Move the start back to the frame of the file that is shown then.
    """

    start_s: float
    seconds: float
    at_end: AtEnd = "shift"
    whole_frames: bool = False

    def __post_init__(self) -> None:
        if self.start_s < 0 or self.seconds <= 0:
            raise ValueError(f"a window needs start_s >= 0 and seconds > 0, got {self}")
        if self.at_end not in AT_END:
            raise ValueError(f"at_end: got {self.at_end!r}, expected one of {AT_END}")


@dataclass(frozen=True)
class ClipRequest:
    """What to read in one window.

    Attributes:
        window: The window.
        frames: Frames, 0 for none.
        fps: Frames a second, of optical flow too.
        audio_rate_hz: Rate of the audio, None for none.
        flow_frames: Fields of stored optical flow, at the times that as many frames would have; 0 for none.
    """

    window: Window
    frames: int
    fps: float
    audio_rate_hz: int | None = None
    flow_frames: int = 0

    @property
    def audio_samples(self) -> int:
        """Length of the audio, exactly ``round(seconds * rate)``."""
        return 0 if self.audio_rate_hz is None else round(self.window.seconds * self.audio_rate_hz)


@dataclass(frozen=True)
class Clip:
    """What a file gave for one window.

    Attributes:
        unique_frames: uint8 (C, N, H, W), RGB, each frame of the file once.
        frame_times_s: float64 (T,), the presentation time of each frame on the file's time line.
        audio: float32 (S,), mono in [-1, 1], starting at the start of the window; empty if none was asked for.
        audio_rate_hz: Sample rate of `audio`, None if none was asked for.
        video_valid: Share of the asked frames that the file really holds, 0 to 1 (the rest repeats the last).
        audio_valid: Share of the asked samples that the file really holds, 0 to 1 (the rest is silence).
        shown: int64 (T,), which frame each frame is; None where each is shown once, in order.
            At 30 frames per second of a file of 25, every fifth frame is shown twice; it is cropped once.
        flow: uint8 (2, T, H, W), motion to the right and downwards, 127.5 is none; empty if none was asked for.
        audio_error: Why there is no audio although the file's header promises some in this window; empty if there is
            some, or the file simply has none there.
    """

    unique_frames: Tensor
    frame_times_s: Tensor
    audio: Tensor
    audio_rate_hz: int | None
    video_valid: float
    audio_valid: float
    shown: Tensor | None = None
    flow: Tensor = field(default_factory=lambda: torch.zeros(2, 0, 0, 0, dtype=torch.uint8))
    audio_error: str = ""

    def __post_init__(self) -> None:
        if self.unique_frames.dtype != torch.uint8 or self.unique_frames.ndim != 4:
            raise ValueError(f"frames: expected uint8 (C, N, H, W), got {describe(self.unique_frames)}")
        if self.audio.dtype != torch.float32 or self.audio.ndim != 1:
            raise ValueError(f"audio: expected float32 (S,), got {describe(self.audio)}")
        if self.flow.dtype != torch.uint8 or self.flow.ndim != 4 or self.flow.shape[0] != 2:
            raise ValueError(f"flow: expected uint8 (2, T, H, W), got {describe(self.flow)}")

    @property
    def frames(self) -> Tensor:
        """uint8 (C, T, H, W), RGB; a copy where a frame is shown more than once."""
        return self.over_time(self.unique_frames)

    def over_time(self, unique_frames: Tensor) -> Tensor:
        """Maps (C, N, H, W), made of each frame, to the frames (C, T, H, W); stored as (T, H, W, C)."""
        if self.shown is None:
            return unique_frames
        return unique_frames.permute(1, 2, 3, 0).index_select(0, self.shown).permute(3, 0, 1, 2)

    def __repr__(self) -> str:
        return (
            f"Clip(frames={describe(self.frames)}, audio={describe(self.audio)} at {self.audio_rate_hz} Hz, "
            f"video_valid={self.video_valid:.2f}, audio_valid={self.audio_valid:.2f})"
        )


def describe(value: Tensor) -> str:
    """Returns dtype and shape of a tensor for messages, e.g. ``uint8(3, 16, 112, 112)``."""
    return f"{str(value.dtype).removeprefix('torch.')}{tuple(value.shape)}"
