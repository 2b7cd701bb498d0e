"""Requests to a file and their results: windows on a time line, and clips of frames and audio."""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

AtEnd = Literal["pad", "shift", "loop"]
AT_END: tuple[AtEnd, ...] = ("pad", "shift", "loop")


@dataclass(frozen=True)
class Window:
    """An interval of a file's time line; 0 s is the presentation time of its first frame (of its audio without frames).

    Attributes:
        start_s: Start in seconds, >= 0.
        seconds: Length in seconds, > 0.
        at_end: Rule for a window that exceeds the end: ``pad`` repeats the last frame and adds
            silence, ``shift`` moves the window back to end with the file, ``loop`` plays the file again.
        whole_frames: Whether the start moves back to the frame that is shown at that time.
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
        window: Window to read.
        frames: Number of frames, 0 for none.
        fps: Frames per second, also of optical flow.
        audio_rate_hz: Sample rate of the audio, None for no audio.
        flow_frames: Number of stored optical-flow fields, at the times of as many frames; 0 for none.
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
    """Decoded content of one window of a file.

    Attributes:
        unique_frames: Decoded frames, uint8 (C, N, H, W), RGB, each frame of the file once.
        frame_times_s: Presentation time of each frame on the file's time line, float64 (T,).
        audio: Waveform, float32 (S,), mono in [-1, 1], from the start of the window; empty if not requested.
        audio_rate_hz: Sample rate of `audio`, None if not requested.
        video_valid: Share of the requested frames that the file contains, 0 to 1 (the rest repeats the last).
        audio_valid: Share of the requested samples that the file contains, 0 to 1 (the rest is silence).
        frame_index: Index of each output frame in `unique_frames`, int64 (T,); None where each is used once, in order.
            A file of 25 fps read at 30 fps uses every fifth frame twice; it is cropped once.
        flow: Optical flow, uint8 (2, T, H, W), to the right and downwards, 127.5 is none; empty if not requested.
        audio_error: Cause of missing audio where the file's header announces some in this window; empty if there is
            audio, or the file has none there.
    """

    unique_frames: Tensor
    frame_times_s: Tensor
    audio: Tensor
    audio_rate_hz: int | None
    video_valid: float
    audio_valid: float
    frame_index: Tensor | None = None
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
        """uint8 (C, T, H, W), RGB; a copy where a frame is used more than once."""
        return self.over_time(self.unique_frames)

    def over_time(self, unique_frames: Tensor) -> Tensor:
        """Maps (C, N, H, W), one per unique frame, to the frames (C, T, H, W); stored as (T, H, W, C)."""
        if self.frame_index is None:
            return unique_frames
        return unique_frames.permute(1, 2, 3, 0).index_select(0, self.frame_index).permute(3, 0, 1, 2)

    def __repr__(self) -> str:
        return (
            f"Clip(frames={describe(self.frames)}, audio={describe(self.audio)} at {self.audio_rate_hz} Hz, "
            f"video_valid={self.video_valid:.2f}, audio_valid={self.audio_valid:.2f})"
        )


def describe(value: Tensor) -> str:
    """Returns dtype and shape of a tensor for messages, e.g. ``uint8(3, 16, 112, 112)``."""
    return f"{str(value.dtype).removeprefix('torch.')}{tuple(value.shape)}"
