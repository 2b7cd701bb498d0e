"""Reads clips from a media file, which is opened once; each stretch is demuxed once for frames and audio together."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from stica_pv.data.decoding.audio_track import MARGIN_S, AudioTrack, preroll_seconds
from stica_pv.data.decoding.demux import Span, collect_packets
from stica_pv.data.decoding.flow_files import FlowFiles
from stica_pv.data.decoding.frame_search import read_frames
from stica_pv.data.decoding.frames import (
    CLEARLY_S,
    DecodedFrames,
    FrameChoice,
    FrameConverter,
    ends_early,
    following_times,
    frame_rate,
    frame_time,
)
from stica_pv.data.decoding.media_file import MediaFile
from stica_pv.errors import UnreadableClip
from stica_pv.structures import Clip, ClipRequest

Reader = Callable[[str, Mapping[str, ClipRequest]], Mapping[str, Clip]]
"""Returns the clips of a file, or raises `UnreadableClip`; `read` with its settings is one."""

_NEARLY_S = 1.0
"""Stretches closer than this are decoded in one pass; it costs less than a seek back to a key frame."""

_SHORTEST_LOOP_S = 1e-3
"""No file is that short; a header with a smaller duration would repeat it millions of times."""


@dataclass(frozen=True)
class _Stretch:
    """A part of the file that is decoded in one pass: times of frames (increasing) and the span of the audio."""

    times_s: tuple[float, ...]
    audio_span: Span | None

    @property
    def start_s(self) -> float:
        return min(self.times_s[:1] + ((self.audio_span.start_s,) if self.audio_span else ()))

    @property
    def end_s(self) -> float:
        return max(self.times_s[-1:] + ((self.audio_span.end_s,) if self.audio_span else ()))

    def joined(self, other: "_Stretch") -> "_Stretch":
        audio_spans = [stretch.audio_span for stretch in (self, other) if stretch.audio_span]
        hull = Span(min(s.start_s for s in audio_spans), max(s.end_s for s in audio_spans)) if audio_spans else None
        return _Stretch(tuple(sorted({*self.times_s, *other.times_s})), hull)


@dataclass(frozen=True)
class _Plan:
    """A request on the file's time line.

    Attributes:
        request: The request.
        start_s: Start of its window after shifting.
        times_s: Time of each requested frame in the file.
        flow_times_s: Time of each requested field of optical flow.
        loop_s: Length of the loop, None if the file is not repeated.
        stretches: Parts of the file to decode.
    """

    request: ClipRequest
    start_s: float
    times_s: tuple[float, ...]
    flow_times_s: tuple[float, ...]
    loop_s: float | None
    stretches: tuple[_Stretch, ...]


def read(
    path: str,
    requests: Mapping[str, ClipRequest],
    *,
    frame_choice: FrameChoice = "nearest",
    short_size: int = 0,
    flow: FlowFiles | None = None,
) -> dict[str, Clip]:
    """Read windows of a file.

    A request of 0 frames gets `Clip.frames` of shape (3, 0, 0, 0), and no frame is decoded for it. A file without
    audio gives silence with `audio_valid` 0. Upright frames have the size of the stream; pixels are assumed square.

    Args:
        path: File, or a URI that iopath supports.
        requests: Windows to read, by name.
        frame_choice: Rule for each requested time: the ``nearest`` frame (of two equally near the earlier), or the
            ``previous``; ``following``: from the first frame at or after the start on, as in `following_times`.
        short_size: Largest short side of a frame, 0 for no limit; smaller ones are not enlarged.
        flow: Stored optical flow, for requests that include it.

    Returns:
        A clip for each request; its frames are a (3, N, H, W) view of (N, H, W, 3) memory.

    Raises:
        UnreadableClip: A request cannot be fulfilled; the error has the cause.
    """
    with MediaFile(path) as media:
        plans = {name: _plan(request, media, frame_choice) for name, request in requests.items()}
        if media.video is None and any(plan.times_s for plan in plans.values()):
            raise UnreadableClip(path, media.undecodable("video") or "no video stream")
        decoded, track = _decode(media, _passes(plans.values()), frame_choice, short_size)
        clips = {name: _clip(plan, media, decoded, track) for name, plan in plans.items()}
    fields = {name: plan.flow_times_s for name, plan in plans.items() if plan.flow_times_s}
    if not fields:
        return clips
    if flow is None:
        raise UnreadableClip(path, "optical flow was requested, but the reader has no folder of flow files")
    return clips | {
        name: replace(clips[name], flow=found) for name, found in flow.read(path, fields, frame_choice).items()
    }


def _plan(request: ClipRequest, media: MediaFile, frame_choice: FrameChoice) -> _Plan:
    window, length = request.window, media.seconds
    start = window.start_s
    if window.at_end == "shift":
        start = max(0.0, min(start, length - window.seconds))
    if window.whole_frames and media.video is not None:
        start = frame_time(start, frame_rate(media.video))
    loop = length if window.at_end == "loop" and length >= _SHORTEST_LOOP_S else None
    times, flow_times = (
        _wanted_times(start, count, request.fps, media, frame_choice) for count in (request.frames, request.flow_frames)
    )
    if loop is None:
        flow_times = [min(time, length) for time in flow_times]  # as the last frame is repeated
    audio_span, lead_s = None, 0.0
    if request.audio_samples and media.audio is not None:
        audio_span = Span(start - MARGIN_S, start + window.seconds + MARGIN_S)
        lead_s = preroll_seconds(media)
    stretches: tuple[_Stretch, ...]
    if loop is None:
        padded = None if audio_span is None else Span(audio_span.start_s - lead_s, audio_span.end_s)
        stretches = (_Stretch(tuple(times), padded),)
    else:
        times, flow_times = [time % loop for time in times], [time % loop for time in flow_times]
        stretches = _looped(times, audio_span, loop, lead_s)
    return _Plan(request, start, tuple(times), tuple(flow_times), loop, stretches)


def _wanted_times(start_s: float, count: int, fps: float, media: MediaFile, frame_choice: FrameChoice) -> list[float]:
    if frame_choice == "following" and media.video is not None:
        return following_times(start_s, count, fps, frame_rate(media.video))
    return [start_s + i / fps for i in range(count)]


def _looped(times: Sequence[float], audio_span: Span | None, loop_s: float, lead_s: float) -> tuple[_Stretch, ...]:
    """Split a window of a repeated file into the parts of the file that it covers; neighbors are joined later."""
    parts = [_Stretch((time,), None) for time in sorted(set(times))]
    if audio_span is not None:
        for cycle in range(math.floor(audio_span.start_s / loop_s), math.floor(audio_span.end_s / loop_s) + 1):
            low = max(0.0, audio_span.start_s - cycle * loop_s)
            high = min(loop_s, audio_span.end_s - cycle * loop_s)
            parts.append(_Stretch((), Span(low - lead_s, high)))
    return tuple(parts)


def _passes(plans: Iterable[_Plan]) -> list[_Stretch]:
    """Join stretches that overlap or nearly overlap; a seek is worthwhile between the others."""
    passes: list[_Stretch] = []
    wanted = [stretch for plan in plans for stretch in plan.stretches if stretch.times_s or stretch.audio_span]
    for stretch in sorted(wanted, key=lambda stretch: stretch.start_s):
        if passes and stretch.start_s <= passes[-1].end_s + _NEARLY_S:
            passes[-1] = passes[-1].joined(stretch)
        else:
            passes.append(stretch)
    return passes


def _decode(
    media: MediaFile, passes: Sequence[_Stretch], frame_choice: FrameChoice, short_size: int
) -> tuple[DecodedFrames, AudioTrack]:
    convert, decoded, track = FrameConverter(short_size), DecodedFrames(), AudioTrack()
    for stretch in passes:
        if stretch.times_s:
            found, packets = read_frames(media, stretch.times_s, stretch.audio_span, frame_choice, convert)
            _check_frames(media, found, stretch.times_s[-1])
            decoded.extend(found)
        else:
            packets = collect_packets(media, None, stretch.audio_span)
        if stretch.audio_span is not None and (media.audio_from_start or not track.decode(media, packets.audio)):
            media.audio_from_start = True
            track.decode_from_start(media, stretch.audio_span.end_s)
    return decoded, track


def _check_frames(media: MediaFile, found: DecodedFrames, last_s: float) -> None:
    """Raise `UnreadableClip` if the video ends clearly before a requested time within the header's duration."""
    reason = found.error or media.read_error
    if found.end_s is None:
        raise UnreadableClip(media.path, "no frame can be decoded" + (f": {reason}" if reason else ""))
    cut_short = found.reached_end and ends_early(media, found.end_s, min(last_s, media.seconds))
    if cut_short and not (media.length_is_of_file and media.audio_fills_length()):
        raise UnreadableClip(media.path, f"video ends at {found.end_s:.1f} s, the header says {media.seconds:.1f} s")


def _clip(plan: _Plan, media: MediaFile, decoded: DecodedFrames, track: AudioTrack) -> Clip:
    request = plan.request
    frames, times = torch.zeros(3, 0, 0, 0, dtype=torch.uint8), torch.zeros(0, dtype=torch.float64)
    frame_index: torch.Tensor | None = None
    video_valid, audio_valid, audio, audio_error = 0.0, 0.0, torch.zeros(0), ""
    if plan.times_s:
        positions = [decoded.chosen[time] for time in plan.times_s]
        once, which = np.unique(positions, return_inverse=True)
        frames = torch.from_numpy(np.stack([decoded.images[at] for at in once])).permute(3, 0, 1, 2)
        frame_index = None if np.array_equal(which, np.arange(len(once))) else torch.from_numpy(which)
        times = torch.tensor([decoded.times_s[at] for at in positions], dtype=torch.float64)
        end_s = max(media.seconds, decoded.end_s or 0.0)
        video_valid = sum(time < end_s for time in plan.times_s) / len(plan.times_s)
    if request.audio_rate_hz is not None:
        samples, audio_valid = track.render(plan.start_s, request.window.seconds, request.audio_rate_hz, plan.loop_s)
        audio = torch.from_numpy(samples)
        audio_error = "" if audio_valid else _audio_error(plan, media, track)
        if audio_error and not plan.times_s:
            raise UnreadableClip(media.path, audio_error)
    return Clip(
        frames, times, audio, request.audio_rate_hz, video_valid, audio_valid, frame_index, audio_error=audio_error
    )


def _audio_error(plan: _Plan, media: MediaFile, track: AudioTrack) -> str:
    """Return why a window is silent; "" if there is no audio in it according to the header."""
    if media.audio is None:
        return media.undecodable("audio")
    reason = track.error or media.read_error
    if media.length_is_of_file and not reason:
        return ""
    lead_s = preroll_seconds(media) + MARGIN_S
    audio_spans = [stretch.audio_span for stretch in plan.stretches if stretch.audio_span]
    promised_s = sum(
        max(
            0.0,
            min(audio_span.end_s - MARGIN_S, media.audio_end_s) - max(audio_span.start_s + lead_s, media.audio_start_s),
        )
        for audio_span in audio_spans
    )
    if promised_s <= min(CLEARLY_S, plan.request.window.seconds / 2):
        return ""
    if reason or not track.rate_hz:
        return "no audio can be decoded" + (f": {reason}" if reason else "")
    end_s = track.extent[1] / track.rate_hz
    later = end_s > min(audio_span.start_s + lead_s for audio_span in audio_spans)  # the audio continues after a gap
    return "" if later else f"audio ends at {end_s:.1f} s, the header says {media.audio_end_s:.1f} s"
