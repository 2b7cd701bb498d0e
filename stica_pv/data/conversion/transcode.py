"""Makes a low-resolution copy of one media file: smaller frames, more key frames, mono audio, and unchanged times."""

import heapq
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stica_pv.data.conversion.encoding import check_aac_rate, encoder_options, priority_kept
from stica_pv.data.decoding.audio_track import AudioTrack, Samples, resample
from stica_pv.data.decoding.container import failure_cause
from stica_pv.data.decoding.demux import WHOLE_FILE, StretchPackets, collect_packets
from stica_pv.data.decoding.frames import DecodedFrames, FrameConverter, check_complete, timed_frames
from stica_pv.data.decoding.media_file import MediaFile
from stica_pv.data.isolation.worker_pool import answer_all
from stica_pv.data.isolation.worker_process import WorkerFailure
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.partial_file import partial_file

_CLOCK_HZ = 90_000
_OPEN_LIMIT_S = 60.0
_BLOCK = 1024  # samples sent to the audio encoder at a time

_MUXER = {
    "movflags": "faststart",
    "movie_timescale": str(_CLOCK_HZ),
}  # for exact start times of streams

_FAST_TO_DECODE = {"libx264": {"tune": "fastdecode"}, "libx265": {"tune": "fastdecode"}}
"""Options for output that is fast to decode; a copy is read many more times than it is written."""

Timed = tuple[float, Any]


@dataclass(frozen=True)
class TranscodeSettings:
    """How a low-resolution copy is written.

    Attributes:
        short_side: Largest short side in pixels; smaller frames are not enlarged. 0: no limit.
        gop: Maximum number of frames between key frames.
        codec: FFmpeg's name of the video encoder.
        crf: Constant rate factor of the video, lower is better.
        audio_rate_hz: Sample rate of the mono audio.
        audio_bitrate: Bit rate of the AAC audio in bit/s.
        fast_decoding: Whether x264 and x265 avoid features that are slow to decode (CABAC, deblocking).
    """

    short_side: int = 128
    gop: int = 12
    codec: str = "libx264"
    crf: int = 23
    audio_rate_hz: int = 24000
    audio_bitrate: int = 48000
    fast_decoding: bool = True

    def __post_init__(self) -> None:
        if self.short_side < 0 or self.crf < 0 or min(self.gop, self.audio_rate_hz, self.audio_bitrate) < 1:
            raise UsageError(f"a low-resolution copy needs short_side, crf >= 0 and gop, rates >= 1, got {self}")
        try:
            known = av.Codec(self.codec, "w")
        except (av.FFmpegError, ValueError) as error:
            raise UsageError(f"codec: this FFmpeg has no encoder {self.codec!r}; try libx264") from error
        if known.type != "video":
            raise UsageError(f"codec: {self.codec!r} encodes {known.type}, expected a video encoder")
        _check_encoder(self)
        check_aac_rate(self.audio_rate_hz)


def _check_encoder(settings: TranscodeSettings) -> None:
    """Raise `UsageError` if the encoder does not support these settings, before any file is read.

    The encoder runs in a separate process (on Linux), which is ended if it hangs.
    """
    ((_, result),) = answer_all(_open_encoder, [settings], processes=1, timeout_s=_OPEN_LIMIT_S)
    if isinstance(result, WorkerFailure):
        raise UsageError(f"codec: {settings.codec!r} cannot be opened ({result.cause}); try libx264")


def _open_encoder(settings: TranscodeSettings) -> None:
    with priority_kept(), av.open(os.devnull, "w", format="mp4") as container:
        stream = _frame_stream(container, Fraction(25), 64, 64, settings)
        try:
            stream.codec_context.open()
        except av.FFmpegError as error:
            raise UsageError(
                f"codec: {settings.codec!r} cannot write yuv420p at a time base of {_CLOCK_HZ} Hz, crf {settings.crf} "
                f"({error.strerror}); try libx264"
            ) from error


def transcode(source: str, target: Path, settings: TranscodeSettings) -> None:
    """Write the low-resolution copy of a file as MP4, atomically.

    Frames are upright and keep their times. The audio keeps its offset to the first frame, and its gaps are filled with
    silence; audio that starts late is preceded by one coded frame of silence (43 ms at 24 kHz), which counts as audio.
    Without video or without audio, the copy has none either. All audio and all packets of the file are kept in memory.

    Raises:
        UnreadableClip: The source cannot be decoded, or is shorter than its header says.
    """
    try:
        with partial_file(target) as partial, MediaFile(source) as media:
            packets = collect_packets(media, WHOLE_FILE if media.video else None, WHOLE_FILE if media.audio else None)
            with priority_kept(), av.open(str(partial), "w", format="mp4", options=_MUXER) as container:
                _write(container, media, packets, settings)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableClip(source, failure_cause(source, error)) from error


def _write(container: OutputContainer, media: MediaFile, packets: StretchPackets, settings: TranscodeSettings) -> None:
    streams: list[Iterable[Timed]] = []
    start_s, audio = _audio(media, packets, settings.audio_rate_hz)
    delay_s = max(0.0, -start_s) if len(audio) else 0.0  # the copy has no negative time stamps
    if media.video is not None:
        streams.append(_frame_packets(container, media, packets, delay_s, settings))
    if len(audio):
        stream: AudioStream = container.add_stream("aac", rate=settings.audio_rate_hz, layout="mono")
        stream.bit_rate = settings.audio_bitrate
        streams.append(_audio_packets(stream, audio, start_s + delay_s))
    if not streams:
        raise UnreadableClip(media.path, "no audio can be decoded")
    for _, packet in heapq.merge(*streams, key=lambda timed: timed[0]):
        container.mux(packet)


def _audio(media: MediaFile, packets: StretchPackets, rate_hz: int) -> tuple[float, Samples]:
    """Return the start time of the audio on the file's clock, and all of it at `rate_hz`."""
    track = AudioTrack()
    track.decode(media, packets.audio)
    first, end = track.extent
    samples, _ = track.cut(first, end - first)
    if len(samples) and track.rate_hz != rate_hz:
        samples = resample(samples, track.rate_hz, rate_hz)
    return first / max(1, track.rate_hz), np.clip(samples, -1.0, 1.0)


def _audio_packets(stream: AudioStream, samples: Samples, start_s: float) -> Iterator[Timed]:
    rate_hz = stream.sample_rate
    for begin in range(0, len(samples), _BLOCK):
        frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + _BLOCK], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, round(start_s * rate_hz) + begin
        frame.time_base = Fraction(1, rate_hz)
        yield from ((start_s + begin / rate_hz, packet) for packet in stream.encode(frame))
    yield from ((start_s + len(samples) / rate_hz, packet) for packet in stream.encode(None))


def _frame_packets(
    container: OutputContainer, media: MediaFile, packets: StretchPackets, delay_s: float, settings: TranscodeSettings
) -> Iterator[Timed]:
    assert media.video is not None
    convert, found = FrameConverter(settings.short_side), DecodedFrames()
    stream: VideoStream | None = None
    durations = _Durations()
    last_s = 0.0
    for shown_s, frame in timed_frames(media, packets.video, found):
        output = _even(VideoFrame.from_ndarray(np.ascontiguousarray(convert(frame)), format="rgb24"))
        output.pts, output.time_base = round((shown_s + delay_s) * _CLOCK_HZ), Fraction(1, _CLOCK_HZ)
        durations.add(output.pts)
        if stream is None:
            rate = media.video.average_rate or media.video.guessed_rate or Fraction(25)
            stream = _frame_stream(container, rate, output.width, output.height, settings)
        last_s = shown_s + delay_s
        yield from ((last_s, durations.set(packet)) for packet in stream.encode(output))
    check_complete(media, found)
    assert stream is not None
    assert found.end_s is not None
    durations.add(round((found.end_s + delay_s) * _CLOCK_HZ))
    yield from ((last_s, durations.set(packet)) for packet in stream.encode(None))


def _frame_stream(
    container: OutputContainer, rate: Fraction, width: int, height: int, settings: TranscodeSettings
) -> VideoStream:
    options = encoder_options(settings.codec, {"crf": str(settings.crf)})
    if settings.fast_decoding:
        options |= _FAST_TO_DECODE.get(av.Codec(settings.codec, "w").name, {})  # h264 names libx264
    stream = container.add_stream(settings.codec, rate=rate, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.gop_size = settings.gop
    stream.codec_context.time_base = Fraction(1, _CLOCK_HZ)
    stream.codec_context.thread_count = 1  # files are processed in parallel, one per process
    return stream


def _even(output: VideoFrame) -> VideoFrame:
    """Return the frame as yuv420p, which needs even width and height."""
    width, height = (max(2, side - side % 2) for side in (output.width, output.height))
    return output.reformat(width=width, height=height, format="yuv420p")


class _Durations:
    """Durations of frames; encoders do not keep them, which would change the length of the copy."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}
        self._last: int | None = None

    def add(self, pts: int) -> None:
        if self._last is not None:
            self._ticks[self._last] = max(1, pts - self._last)
        self._last = pts

    def set(self, packet: Any) -> Any:
        ticks = self._ticks.get(packet.pts)
        if ticks is not None:
            packet.duration = ticks
        return packet
