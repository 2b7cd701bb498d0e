"""What the first packets of a file say: when its first frame is shown, and whether decoding may begin elsewhere."""

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import av
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from stica_pv.data.decoding.avi_slots import smallest_frame_bytes
from stica_pv.data.decoding.container import open_container

Stamped = Literal["all", "some", "none"]

_MOST_PACKETS = 1000
"""Where the first frame is looked for; a file that opens with more audio than this is taken at its word."""

_UNORDERED_FRAMES = 34
"""Stamps that grow over so many frames are taken for stamps without order (H.264 reorders 16 frames at most)."""

_REORDERING_CODECS = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4")
_INTERLACED = 2
"""FFmpeg's field orders from here on are of fields, which may come in packets of their own."""

_BUILD = re.compile(rb"x264 - core (\d+)")
_BUILD_WITHIN_BYTES = 4096
_BUGS_BEFORE_BUILD, _CHROMA_444_BUG_BEFORE_BUILD = 34, 151
"""FFmpeg decodes streams of older builds as these wrote them: direct prediction, and 4:4:4."""


@dataclass(frozen=True)
class FileHead:
    """The first packets of a file.

    Attributes:
        packets: They, of all streams; reading goes on behind them.
        first_stamp: Time stamp of the first frame, None if it is not known.
        undecodable_ticks: How much later it is than the first stamp of the stream.
        without_order: Whether the stamps are those of decoding although the codec reorders frames.
        needed: Whether a decoder must have had the first frame to decode any other.
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
    """Reads the first packets of a file, and no more than it takes to know when its first frame is shown.

    Args:
        path: Local path of the file.
        stream: Its video stream.
        incoming: Its packets from the first on.
        stamp_of: Gives the time stamp of a packet of the stream.
        stamped: How many frames the container stores a time stamp of.
    """
    reorders = stream.codec_context.has_b_frames and stream.codec_context.name in _REORDERING_CODECS
    without_order = stamped == "all" and reorders and stream.codec_context.field_order < _INTERLACED
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
    without_order &= len(stamps) > 1
    needed = bool(frames) and _names_old_encoder(stream, frames[0])
    if not stamps:
        return FileHead(packets, None, 0, without_order, needed)
    first = min(stamps)
    if not _begins_with_key_frame(frames[0], stamp_of(frames[0]), first):
        decoded = _first_decoded_stamp(path, stream.index, stamp_of, counted=stamped == "none")
        first = first if decoded is None else max(first, decoded)
    return FileHead(packets, first, first - min(stamps), without_order, needed)


def _begins_with_key_frame(packet: "Packet[Stream]", stamp: int | None, earliest: int) -> bool:
    """Says whether a stream's first packet is a key frame, and no frame is shown before that (or it is edited out)."""
    return packet.is_keyframe and (stamp is None or stamp <= earliest)


def _first_decoded_stamp(
    path: str, index: int, stamp_of: "Callable[[Packet[Stream]], int | None]", *, counted: bool
) -> int | None:
    """Returns the time stamp of the first frame that comes out of a decoder; None if there is none, or it has none.

    Where frames are `counted`, the first one fills the slot of a packet: of the last one, less those held back.
    """
    stamps: list[int | None] = []
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
                stamps.append(stamp_of(packet))
            with contextlib.suppress(av.FFmpegError):  # a broken packet is passed over, as FFmpeg does
                for frame in context.decode(packet if packet.size else None):
                    return stamps[max(0, len(stamps) - 1 - context.reorder_depth)] if counted else frame.pts
    return None


def _names_old_encoder(stream: VideoStream, packet: "Packet[Stream]") -> bool:
    """Says whether a packet names a build of x264 whose bugs the decoder must repeat; later packets do not name it."""
    if stream.codec_context.name != "h264":
        return False
    named = _BUILD.search(bytes(memoryview(packet)[:_BUILD_WITHIN_BYTES]))
    if named is None:
        return False
    chroma_444 = "4:4:4" in (stream.codec_context.profile or "")
    return int(named[1]) < (_CHROMA_444_BUG_BEFORE_BUILD if chroma_444 else _BUGS_BEFORE_BUILD)
