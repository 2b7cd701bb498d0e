"""Faults in files of other programs, made by editing the packets or bytes of a correct file."""

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Literal

import av

from stica_pv.commands.reader_check.fields import FRAMES_PER_KEY, coded_fields

Fault = Literal["", "placeholder", "false key frames", "decoding order", "old x264", "fields"]

_FALSE_KEY_EVERY = 20


def faulty(fault: Fault, packets: "Sequence[av.Packet[av.VideoStream]]") -> "list[av.Packet[av.VideoStream]]":
    """Return the packets of a video stream with a fault.

    Args:
        fault: ``placeholder``, a byte 0x7F flagged as a key frame behind the first packet, as DivX and Xvid write it;
            ``false key frames``, every 20th packet flagged as one; ``decoding order``, time stamps in decoding order.
            Other faults do not change the packets.
        packets: The packets in decoding order.
    """
    edit = _EDITS.get(fault)
    return edit(list(packets)) if edit else list(packets)


def faulty_bytes(fault: Fault, data: bytes) -> bytes:
    """Return a file with a fault; ``old x264`` names a build whose 4:4:4 was coded with another table."""
    if fault != "old x264":
        return data
    at = data.index(b"x264 - core ") + len(b"x264 - core ")
    return data[:at] + b"142" + data[at + 3 :]


def field_packets(
    container: av.container.OutputContainer, frames: int, fps: int, size: tuple[int, int], delay: int = 0
) -> "list[tuple[float, av.Packet[av.VideoStream]]]":
    """Add a stream of fields to a container; return a packet for each field, with the time of its frame."""
    fields = coded_fields(frames, fps, size, delay)
    with av.open(io.BytesIO(b"".join(fields[: 2 * FRAMES_PER_KEY])), format="h264") as source:
        stream = container.add_stream_from_template(source.streams.video[0])
    packets = []
    for at, content in enumerate(fields):
        packet = _packet(content, stream, at, Fraction(1, 2 * fps))
        packet.is_keyframe = at % (2 * FRAMES_PER_KEY) == 0
        packets.append((at // 2 / fps, packet))
    return packets


def _packet(content: bytes, stream: av.VideoStream, stamp: int, time_base: Fraction) -> "av.Packet[av.VideoStream]":
    packet: av.Packet[Any] = av.Packet(content)
    packet.stream, packet.time_base, packet.pts, packet.dts = stream, time_base, stamp, stamp
    return packet


def _with_placeholder(packets: "list[av.Packet[av.VideoStream]]") -> "list[av.Packet[av.VideoStream]]":
    first, *others = packets
    assert first.time_base is not None
    assert first.dts is not None
    step = round(1 / first.stream.codec_context.framerate / first.time_base)
    placeholder = _packet(b"\x7f", first.stream, first.dts + step, first.time_base)
    placeholder.is_keyframe = True
    for packet in others:
        assert packet.dts is not None
        assert packet.pts is not None
        packet.dts += step
        packet.pts += step
    return [first, placeholder, *others]


def _with_false_key_frames(packets: "list[av.Packet[av.VideoStream]]") -> "list[av.Packet[av.VideoStream]]":
    for packet in packets[::_FALSE_KEY_EVERY]:
        packet.is_keyframe = True
    return packets


def _in_decoding_order(packets: "list[av.Packet[av.VideoStream]]") -> "list[av.Packet[av.VideoStream]]":
    stamps = sorted(packet.pts for packet in packets if packet.pts is not None)
    for packet, stamp in zip(packets, stamps, strict=True):
        packet.pts = packet.dts = stamp
    return packets


_EDITS: "dict[str, Callable[[list[av.Packet[av.VideoStream]]], list[av.Packet[av.VideoStream]]]]" = {
    "placeholder": _with_placeholder,
    "false key frames": _with_false_key_frames,
    "decoding order": _in_decoding_order,
}
