"""An open media file: its streams, its clock, how long it lasts by its header, and its packets from any point on."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from types import TracebackType
from typing import TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from iopath.common.file_io import g_pathmgr

from stica_pv.errors import UnreadableClip

MediaPacket: TypeAlias = "Packet[Stream]"  # generic in the stubs only

_HEAD_PACKETS = 1000
"""Where the first picture is looked for; a file that opens with more packets of sound than this is taken at its word."""


def local_path(path: str) -> str:
    """Returns where `path` lies on this machine; a URI goes through iopath and may be fetched."""
    return str(g_pathmgr.get_local_path(path)) if "://" in path else path


def failure_cause(path: str, error: Exception) -> str:
    """Returns why a file could not be opened or read, in words."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    with contextlib.suppress(OSError):
        if os.path.getsize(path) == 0:
            return "the file is empty (0 bytes)"
    reason = str(getattr(error, "strerror", None) or error)
    log = getattr(error, "log", None)
    if isinstance(error, av.InvalidDataError):
        return f"invalid data: {log[2].strip()}" if log else "invalid data, in no format that is known"
    return reason


def open_container(path: str) -> InputContainer:
    """Opens a local media file; raises `UnreadableClip` with FFmpeg's own reason."""
    # "file:" keeps names with a colon or a leading dash from being taken for a protocol or an option.
    try:
        return av.open(f"file:{path}", mode="r", metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        first = error
    # FFmpeg tells the reason in its log only, which is off; open once more and listen.
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)
    try:
        with av.logging.Capture():
            return av.open(f"file:{path}", mode="r", metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise UnreadableClip(path, failure_cause(path, error)) from first
    finally:
        av.logging.set_level(level)


def picture_stream(container: InputContainer) -> VideoStream | None:
    """Returns the first stream of moving pictures that can be decoded; a cover image is none."""
    return next((s for s in container.streams.video if s.codec_context and not s.disposition & Disposition.attached_pic),
                None)


def sound_stream(container: InputContainer) -> AudioStream | None:
    """Returns the first stream of sound that can be decoded."""
    return next((s for s in container.streams.audio if s.codec_context), None)


def header_seconds(container: InputContainer, stream: Stream) -> float | None:
    """Returns how long a stream lasts according to the header, None if it does not say."""
    base = stream.time_base or Fraction(0)
    if stream.duration and base:
        return float(stream.duration * base)
    start = float((stream.start_time or 0) * base)
    seconds = 0.0
    with contextlib.suppress(KeyError, ValueError):
        # Matroska's tag says where the stream ends, not how long it lasts.
        hours, minutes, rest = stream.metadata["DURATION"].split(":")
        seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest) - start
    if seconds <= 0 and container.duration:
        seconds = ((container.start_time or 0) + container.duration) / av.time_base - start
    return seconds if seconds > 0 else None


def scan_seconds(container: InputContainer, streams: list[Stream]) -> dict[int, float]:
    """Measures streams by their packets, without decoding, from where the container stands.

    Returns:
        Seconds by stream index, for each stream that has packets.
    """
    first: dict[int, float] = {}
    last: dict[int, float] = {}
    with contextlib.suppress(av.FFmpegError):
        for packet in container.demux(*streams):
            if packet.pts is None:
                continue
            start = float(packet.pts * packet.time_base)
            end = start + float((packet.duration or 0) * packet.time_base)
            index = packet.stream_index
            first[index] = min(first.get(index, start), start)
            last[index] = max(last.get(index, end), end)
    return {index: max(last[index] - first[index], 1e-3) for index in first}


class MediaFile:
    """An open file with one clock: 0 s is the first picture, or the first sound where there is no picture.

    Attributes:
        path: The file, as asked for.
        video: The stream of pictures, or None.
        audio: The stream of sound, or None.
        origin_s: FFmpeg's time stamp of 0 s.
        seconds: How long the pictures last (the sound, without pictures) according to the header.
        audio_start_s: Where the sound starts, on this clock.
        audio_end_s: Where it ends according to the header.
        exact_times: Whether the container stores presentation times; AVI does not, they are guessed there.
        read_error: Why demuxing stopped early, if it did.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._local = local_path(path)
        self.read_error: str | None = None
        self._open()
        try:
            self._measure()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "MediaFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._container.close()

    def _open(self) -> None:
        try:
            self._container = open_container(self._local)
        except UnreadableClip as error:
            raise UnreadableClip(self.path, error.cause) from error
        self.video = picture_stream(self._container)
        self.audio = sound_stream(self._container)
        self.exact_times = self._container.format.name != "avi"
        self._streams: list[Stream] = [s for s in (self.video, self.audio) if s is not None]
        for stream in (self.video, self.audio):
            if stream is not None:
                stream.codec_context.thread_count = 1  # the loader's workers are the parallelism
        self._packets = self._container.demux(*self._streams) if self._streams else iter(())
        self._head: list[MediaPacket] = []
        self._at_start = True

    def _measure(self) -> None:
        if not self._streams:
            raise UnreadableClip(self.path, "no video stream and no audio stream")
        main = self._streams[0]
        start = None if self.video is None else self._first_picture(self.video)
        if start is None:
            start = float((main.start_time or 0) * (main.time_base or 0))
        self.origin_s = start
        lengths = [header_seconds(self._container, stream) for stream in self._streams]
        if None in lengths:
            with open_container(self._local) as container:
                scanned = scan_seconds(container, [container.streams[stream.index] for stream in self._streams])
            lengths = [length or scanned.get(stream.index, 0.0)
                       for length, stream in zip(lengths, self._streams, strict=True)]
        self.seconds = lengths[0] or 0.0
        if self.audio is not None:
            self.audio_start_s = float((self.audio.start_time or 0) * (self.audio.time_base or 0)) - self.origin_s
            self.audio_end_s = self.audio_start_s + (lengths[-1] or 0.0)

    def _first_picture(self, stream: VideoStream) -> float | None:
        """Returns the earliest time stamp among the first packets; some headers (AVI) give another one."""
        earliest: int | None = None
        for packet in self._demux():
            self._head.append(packet)
            if packet.stream_index == stream.index and packet.pts is not None and not packet.is_discard:
                earliest = packet.pts if earliest is None else min(earliest, packet.pts)
                if packet.dts is None or packet.dts >= earliest:
                    break
            if len(self._head) > _HEAD_PACKETS:
                break
        return None if earliest is None else float(earliest * (stream.time_base or 0))

    def _demux(self) -> Iterator[MediaPacket]:
        """Yields packets until the end, or until the file breaks, as FFmpeg's own tools do."""
        try:
            for packet in self._packets:
                if packet.size > 0:  # PyAV ends each stream with an empty one
                    yield packet
        except av.FFmpegError as error:
            self.read_error = failure_cause(self._local, error)

    def time_of(self, packet: MediaPacket) -> float | None:
        """Returns a packet's presentation time in seconds on the file's clock, None if it has none."""
        return None if packet.pts is None else float(packet.pts * packet.time_base) - self.origin_s

    def packets(self, start_s: float | None, stream: Stream) -> Iterator[MediaPacket]:
        """Yields the packets of both streams from the key frame before `start_s` on, by the file's index.

        Args:
            start_s: Seconds on the file's clock; None for the true start of the file.
            stream: The stream whose index is used.
        """
        if start_s is not None and stream.time_base is not None:
            with contextlib.suppress(av.FFmpegError):
                self._container.seek(int((start_s + self.origin_s) / stream.time_base), stream=stream)
                self._at_start = False
                self._packets = self._container.demux(*self._streams)
                return self._demux()
        if not self._at_start:  # in some containers seeking to 0 does not lead to the first packet
            video, audio = self.video, self.audio
            self._container.close()
            self._open()
            if (video is None) != (self.video is None) or (audio is None) != (self.audio is None):
                raise UnreadableClip(self.path, "the file changed while it was read")
        head, self._head = self._head, []
        self._at_start = False
        return chain(head, self._demux())
