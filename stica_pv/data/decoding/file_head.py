"""Reads the first packets of a file: time of the first frame, and whether decoding may begin elsewhere."""

import contextlib
import re
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import av
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from stica_pv.data.decoding.avi_slots import smallest_frame_bytes
from stica_pv.data.decoding.container import open_container
from stica_pv.data.decoding.pyav import may_be_interlaced

Stamped = Literal["all", "some", "none"]

_MOST_PACKETS = 1000
"""Packets searched for the first frame; if a file begins with more audio, its header is used."""

_UNORDERED_FRAMES = 34
"""Time stamps that increase over so many frames are decoding times (H.264 reorders at most 16 frames)."""

_REORDERING_CODECS = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4")

_BUILD = re.compile(rb"x264 - core (\d+)")
_BUILD_WITHIN_BYTES = 4096
_BUGS_BEFORE_BUILD, _CHROMA_444_BUG_BEFORE_BUILD = 34, 151
"""FFmpeg reproduces bugs of older builds when it decodes their streams: direct prediction, and 4:4:4."""


@dataclass(frozen=True)
class FileHead:
    """The first packets of a file.

    Attributes:
        packets: The packets, of all streams; reading continues after them.
        first_stamp: Time stamp of the first frame, None if unknown.
        undecodable_ticks: Delay of the first frame after the first time stamp of the stream.
        without_order: Whether the time stamps are decoding times although the codec reorders frames.
        needed: Whether a decoder needs the first packet to decode any other.
    """

    packets: "list[Packet[Stream]]"
    first_stamp: int | None
    undecodable_ticks: int
    without_order: bool
    needed: bool


def read_head(
    path: str,
    stream: VideoStream,
    incoming: "Iterable[Packet[Stream]]",
    stamp_of: "Callable[[Packet[Stream]], int | None]",
    stamped: Stamped,
) -> FileHead:
    """Read the first packets of a file, until the time of its first frame is known.

    Args:
        path: Local path of the file.
        stream: Video stream of the file.
        incoming: Packets of the file, from the first on.
        stamp_of: Returns the time stamp of a packet of the stream.
        stamped: Which frames have a time stamp in the container.
    """
    reorders = stream.codec_context.has_b_frames and stream.codec_context.name in _REORDERING_CODECS
    without_order = stamped == "all" and reorders
    packets: list[Packet[Stream]] = []
    frames: list[Packet[Stream]] = []
    stamps: list[int] = []
    for packet in incoming:
        packets.append(packet)
        stamp = stamp_of(packet) if packet.stream_index == stream.index else None
        if packet.stream_index == stream.index:
            frames.append(packet)
        if stamp is not None and not packet.is_discard:
            without_order &= not stamps or stamp > stamps[-1]
            stamps.append(stamp)
            complete = packet.dts is None or packet.dts >= min(stamps)
            if complete and (not without_order or len(stamps) >= _UNORDERED_FRAMES):
                break
        if len(packets) > _MOST_PACKETS:
            break
    without_order = without_order and len(stamps) > 1 and not _is_interlaced(path, stream)
    needed = bool(frames) and _names_old_encoder(stream, frames[0])
    if not stamps:
        return FileHead(packets, None, 0, without_order, needed)
    first = min(stamps)
    if not _begins_with_key_frame(frames[0], stamp_of(frames[0]), first):
        decoded = _first_decoded_stamp(path, stream.index, stamp_of, counted=stamped == "none")
        first = first if decoded is None else max(first, decoded)
    return FileHead(packets, first, first - min(stamps), without_order, needed)


def _begins_with_key_frame(packet: "Packet[Stream]", stamp: int | None, earliest: int) -> bool:
    """Return whether a stream's first packet is a key frame, and no frame precedes it (unless edited out)."""
    return packet.is_keyframe and (stamp is None or stamp <= earliest)


def _is_interlaced(path: str, stream: VideoStream) -> bool:
    """Return whether one of the first frames is interlaced: its fields may be in separate packets, stamped in order."""
    if not may_be_interlaced(stream):
        return False
    with contextlib.closing(_decoded_start(path, stream.index)) as decoded:
        return any(start.frame.interlaced_frame for start in islice(decoded, _UNORDERED_FRAMES))


def _first_decoded_stamp(
    path: str, index: int, stamp_of: "Callable[[Packet[Stream]], int | None]", *, counted: bool
) -> int | None:
    """Return the time stamp of the first decoded frame; None if there is no frame, or it has no time stamp.

    If frames are `counted`, the first one has the slot of the last packet minus the reorder delay.
    """
    with contextlib.closing(_decoded_start(path, index)) as decoded:
        first = next(decoded, None)
    if first is None or not counted:
        return None if first is None else first.frame.pts
    return [stamp_of(packet) for packet in first.packets][max(0, len(first.packets) - 1 - first.reorder_depth)]


@dataclass(frozen=True)
class _DecodedFrame:
    """A frame that is decoded from the start of a file.

    Attributes:
        frame: The frame.
        packets: The packets sent to the decoder so far.
        reorder_depth: Number of packets by which the decoder delays frames.
    """

    frame: VideoFrame
    packets: "tuple[Packet[Stream], ...]"
    reorder_depth: int


def _decoded_start(path: str, index: int) -> Generator[_DecodedFrame, None, None]:
    """Decode a stream from its start, for at most `_MOST_PACKETS` packets."""
    packets: list[Packet[Any]] = []
    with open_container(path) as container, contextlib.suppress(av.FFmpegError):
        stream = container.streams[index]
        assert isinstance(stream, VideoStream)
        context, smallest = stream.codec_context, smallest_frame_bytes(stream)
        context.thread_count = 1
        incoming: Iterable[Packet[Any]] = container.demux(stream)
        for packet in islice(incoming, _MOST_PACKETS):
            if 0 < packet.size < smallest:
                continue
            if packet.size:
                packets.append(packet)
            with contextlib.suppress(av.FFmpegError):  # a broken packet is skipped, as in FFmpeg
                for frame in context.decode(packet if packet.size else None):
                    yield _DecodedFrame(frame, tuple(packets), context.reorder_depth)


def _names_old_encoder(stream: VideoStream, packet: "Packet[Stream]") -> bool:
    """Return whether a packet names a build of x264 whose bugs must be reproduced; only the first packet names it."""
    if stream.codec_context.name != "h264":
        return False
    named = _BUILD.search(bytes(memoryview(packet)[:_BUILD_WITHIN_BYTES]))
    if named is None:
        return False
    chroma_444 = "4:4:4" in (stream.codec_context.profile or "")
    return int(named[1]) < (_CHROMA_444_BUG_BEFORE_BUILD if chroma_444 else _BUGS_BEFORE_BUILD)
