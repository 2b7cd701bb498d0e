"""Time stamps for AVI, which stores none: each packet is a slot, and FFmpeg's count of slots is corrected here."""

from bisect import bisect_left

from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

_CHUNK_HEADER_BYTES = 8
"""In AVI the index gives the position of a chunk header; the packet begins after it."""

_SMALLEST_FRAME_BYTES = dict.fromkeys(("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"), 5)
"""A start code and a type take four bytes; other codecs may code a frame in one byte."""

_START_ENTRIES = 32
"""Encoders write placeholders while they delay their first frames; an index without one in these entries has none."""


def smallest_frame_bytes(stream: VideoStream) -> int:
    """Return the size of the smallest packet that can hold a frame; smaller ones are placeholders.

    Encoders that reorder frames (DivX, Xvid, x264vfw) write single bytes 0x7F while they delay frames, often flagged as
    key frames. They contain no frame.
    """
    return _SMALLEST_FRAME_BYTES.get(stream.codec_context.name, 1)


class AviSlots:
    """Slots of the packets of an AVI's video stream, in ticks."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._placeholders = _placeholders(stream)
        self._late: int | None = 0

    def after_seek(self) -> None:
        """Mark the next packet as the first one after a seek."""
        self._late = None

    def stamp(self, packet: "Packet[Stream]") -> int | None:
        """Return the slot of a packet; None if FFmpeg gives none."""
        if packet.dts is None:
            return None
        if self._late is None:
            self._late = _counted_late(self._stream, packet)
        slot = packet.dts - self._late
        return slot - bisect_left(self._placeholders, slot)


def _placeholders(stream: VideoStream) -> list[int]:
    entries, smallest = stream.index_entries, smallest_frame_bytes(stream)
    start = (entries[at] for at in range(min(_START_ENTRIES, len(entries))))
    if not any(0 < entry.size < smallest for entry in start):
        return []
    return [entry.timestamp for entry in entries if 0 < entry.size < smallest]


def _counted_late(stream: VideoStream, packet: "Packet[Stream]") -> int:
    """Return by how much the time stamp of the first packet after a seek is late.

    FFmpeg counts empty slots (dropped frames) before the packet twice, as its count already includes them.
    """
    entries, stamp = stream.index_entries, packet.dts or 0
    at = entries.search_timestamp(stamp, any_frame=True)
    while at >= 0 and entries[at].pos + _CHUNK_HEADER_BYTES > (packet.pos or 0):
        at -= 1
    found = at >= 0 and entries[at].pos + _CHUNK_HEADER_BYTES == packet.pos
    return stamp - entries[at].timestamp if found else 0
