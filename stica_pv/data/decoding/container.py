"""Opens media files and reads their headers; every failure has a readable cause."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from iopath.common.file_io import g_pathmgr

from stica_pv.data.decoding.pyav import OPEN_OPTIONS
from stica_pv.data.decoding.tar_entry import tar_entry_of
from stica_pv.errors import UnreadableClip


def local_path(path: str) -> str:
    """Return the local path of a file (or of its shard); a URI is resolved by iopath and may be downloaded."""
    if "://" not in path:
        return path
    member = tar_entry_of(path)
    if member is None:
        return str(g_pathmgr.get_local_path(path))
    return str(replace(member, shard=str(g_pathmgr.get_local_path(member.shard))))


def size_and_mtime(path: str) -> tuple[int, int]:
    """Return the size of a file in bytes and its modification time in ns (for a member of a shard, the shard's time).

    Raises:
        OSError: The file does not exist.
        UnreadableClip: The shard ends before its member does.
    """
    local = local_path(path)
    member = tar_entry_of(local)
    if member is None:
        status = os.stat(local)
        return status.st_size, status.st_mtime_ns
    status = os.stat(member.shard)
    if status.st_size < member.offset + member.size:
        raise UnreadableClip(path, f"the shard ends at {status.st_size} bytes, before this file does")
    return member.size, status.st_mtime_ns


def _address(path: str) -> str:
    """Return the URL for FFmpeg."""
    # "file:" prevents that names with a colon or a leading dash are taken for a protocol or an option.
    member = tar_entry_of(path)
    if member is None:
        return f"file:{path}"
    return f"subfile,,start,{member.offset},end,{member.offset + member.size},,:file:{member.shard}"


def failure_cause(path: str, error: Exception) -> str:
    """Return a readable cause why a file could not be opened or read."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    with contextlib.suppress(OSError):
        if os.path.getsize(path) == 0:
            return "the file is empty (0 bytes)"
    reason = str(getattr(error, "strerror", None) or error)
    log = getattr(error, "log", None)
    if isinstance(error, av.InvalidDataError):
        return f"invalid data: {log[2].strip()}" if log else "invalid data, the format is unknown"
    return reason


def open_container(path: str) -> InputContainer:
    """Open a local media file; raise `UnreadableClip` with the reason that FFmpeg gives."""
    address = _address(path)
    try:
        return av.open(address, mode="r", **OPEN_OPTIONS)
    except (av.FFmpegError, OSError) as error:
        first = error
    # FFmpeg writes the reason to its log only, which is off; open once more with the log.
    with logged(av.logging.ERROR):
        try:
            return av.open(address, mode="r", **OPEN_OPTIONS)
        except (av.FFmpegError, OSError) as error:
            raise UnreadableClip(path, failure_cause(path, error)) from first


@contextlib.contextmanager
def logged(at_level: int) -> Iterator[list[tuple[int, str, str]]]:
    """Capture FFmpeg's log messages from a level on."""
    level, skip_repeated = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(at_level)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as lines:
            yield lines
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skip_repeated)


def video_stream(container: InputContainer) -> VideoStream | None:
    """Return the first video stream that can be decoded, except cover images."""
    return next(
        (s for s in container.streams.video if s.codec_context and not s.disposition & Disposition.attached_pic), None
    )


def audio_stream(container: InputContainer) -> AudioStream | None:
    """Return the first stream of audio that can be decoded."""
    return next((s for s in container.streams.audio if s.codec_context), None)


_WITHOUT_LENGTH = frozenset(
    [
        "aac",
        "ac3",
        "ac4",
        "amr",
        "amrnb",
        "amrwb",
        "dts",
        "dtshd",
        "eac3",
        "g722",
        "gsm",
        "loas",
        "mlp",
        "sbc",
        "truehd",
    ]
)
"""Raw streams of packets: FFmpeg estimates their length from the bit rate of the first ones."""


def _length_is_guessed(container: InputContainer, stream: Stream) -> bool:
    name = container.format.name
    # The header that gives an MP3's length also gives the encoder delay, which is then the start time of the stream.
    return name in _WITHOUT_LENGTH or (name == "mp3" and not stream.start_time)


def header_seconds(container: InputContainer, stream: Stream) -> float | None:
    """Return the duration of a stream according to the header, None if the header has none."""
    if _length_is_guessed(container, stream):
        return None
    base = stream.time_base or Fraction(0)
    if stream.duration and base:
        return float(stream.duration * base)
    start = float((stream.start_time or 0) * base)
    seconds = 0.0
    with contextlib.suppress(KeyError, ValueError):
        # Matroska's tag is the end of the stream, not its duration.
        hours, minutes, rest = stream.metadata["DURATION"].split(":")
        seconds = int(hours) * 3600 + int(minutes) * 60 + float(rest) - start
    if seconds <= 0 and container.duration:
        seconds = ((container.start_time or 0) + container.duration) / av.time_base - start
    return seconds if seconds > 0 else None


def scan_seconds(container: InputContainer, streams: list[Stream]) -> dict[int, float]:
    """Measure streams by their packets, without decoding, from the current position of the container on.

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
