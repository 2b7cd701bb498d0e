"""What a plain decode of a whole file gives: every frame with its time, all audio where its time stamps put it."""

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

_GAP_S = 2e-3
"""Matroska keeps whole milliseconds: smaller steps between frames of audio are no gaps."""

_LASTING = 3
"""Ogg stamps single frames wrongly; a gap shows in as many frames one after the other."""


@dataclass(frozen=True)
class FullDecode:
    """A file; 0 s is its first frame, or its first audio without frames.

    Attributes:
        times_s: When each frame is shown, ascending.
        frames: The frames, RGB and upright, (H, W, 3) each.
        audio: Mono samples from `audio_s` on, silence in gaps; empty without audio.
        present: Which samples there are.
        audio_s: Time of the first sample.
        rate_hz: Sample rate, 0 without audio.
    """

    times_s: NDArray[np.float64]
    frames: list[NDArray[np.uint8]]
    audio: NDArray[np.float64]
    present: NDArray[np.bool_]
    audio_s: float
    rate_hz: int

    @property
    def seconds(self) -> float:
        """When the last frame comes, or the audio ends without frames."""
        return float(self.times_s[-1]) if len(self.times_s) else len(self.audio) / max(1, self.rate_hz)

    def audio_between(self, start_s: float, count: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return `count` samples from a time on, and which of them there are."""
        first = round((start_s - self.audio_s) * self.rate_hz)
        index = np.arange(first, first + count)
        inside = (index >= 0) & (index < len(self.audio))
        index = np.where(inside, index, 0)
        return np.where(inside, self.audio[index], 0), inside & self.present[index]


def full_decode(path: Path) -> FullDecode:
    """Decode a file from its first byte to its last, as FFmpeg would for playing, broken packets passed over."""
    video, audio, form, base, interval = _frames(path)
    stamps = [frame.pts for frame in video]
    if form == "avi":  # which stores no times: the order of the frames is all there is
        times = [i * interval for i in range(len(video))]
        origin = 0.0
    elif form == "mpeg":  # which stamps a frame here and there
        times, origin = [i * interval for i in range(len(video))], float((stamps or [0])[0] or 0) * base
    else:
        known = [float(stamp) * base for stamp in stamps if stamp is not None]
        origin = min(known, default=None)
        times = [time - (origin or 0.0) for time in known]
    order = np.argsort(times, kind="stable") if times else []
    frames = [_frame(video[i]) for i in order]
    return FullDecode(np.array(sorted(times)), frames, *_audio(audio, origin))


def _frames(path: Path) -> tuple[list[av.VideoFrame], list[av.AudioFrame], str, float, float]:
    video: list[av.VideoFrame] = []
    audio: list[av.AudioFrame] = []
    with av.open(f"file:{path}") as container:
        streams = [*container.streams.video[:1], *container.streams.audio[:1]]
        for packet in container.demux(*streams):
            try:
                for frame in packet.decode():
                    (video if packet.stream.type == "video" else audio).append(frame)
            except av.FFmpegError:
                continue
        first = container.streams.video[0] if container.streams.video else None
        base = float(first.time_base) if first else 0.0
        interval = 1 / float(first.average_rate) if first else 0.0
        return video, audio, container.format.name, base, interval


def _frame(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90) % 4)


def _audio(
    frames: list[av.AudioFrame], origin: float | None
) -> tuple[NDArray[np.float64], NDArray[np.bool_], float, int]:
    frames = [frame for frame in frames if frame.pts is not None]
    if not frames:
        return np.zeros(0), np.zeros(0, bool), 0.0, 0
    rate = frames[0].sample_rate
    first = float(frames[0].pts * frames[0].time_base)
    stamped = [round((float(frame.pts * frame.time_base) - first) * rate) for frame in frames]
    at, positions = 0, []
    for i, frame in enumerate(frames):
        steps, joined = [], at
        for later, stamp in zip(frames[i : i + _LASTING], stamped[i : i + _LASTING], strict=True):
            steps.append(abs(stamp - joined))
            joined += later.samples
        at = stamped[i] if min(steps) > _GAP_S * rate else at
        positions.append(at)
        at += frame.samples
    audio, present = np.zeros(at), np.zeros(at, bool)
    for position, frame in zip(positions, frames, strict=True):
        audio[max(0, position) : position + frame.samples] = mono(frame)[max(0, -position) :]
        present[max(0, position) : position + frame.samples] = True
    return audio, present, first - (first if origin is None else origin), rate


def mono(frame: av.AudioFrame) -> NDArray[np.float64]:
    values = frame.to_ndarray()
    scale = 1.0 if np.issubdtype(values.dtype, np.floating) else -1.0 / np.iinfo(values.dtype).min
    channels = frame.layout.nb_channels
    planes = values if frame.format.is_planar else values.reshape(-1, channels).T
    return planes.astype(np.float64).mean(axis=0) * scale
