"""Takes out of a file the packets of one stretch of time, and no more than decoding it needs."""

from dataclasses import dataclass

from stica_pv.data.media_file import MediaFile, MediaPacket

_BACK_S = (0.0, 2.0, 10.0)
"""How much further back to seek each time the index led past the wanted time; then the start of the file."""

_START_IS_NEAR_S = 1.0
"""Reading on from the start costs no more than a seek up to here."""

_UNORDERED_S = 1.0
"""Without decoding times, how far packets may stand from their order of presentation."""


@dataclass(frozen=True)
class Span:
    """A stretch of a file's time line, both ends in seconds."""

    start_s: float
    end_s: float


@dataclass
class _Collector:
    """Packets of one stream until `span` is covered."""

    span: Span
    packets: list[MediaPacket]
    after_s: float | None = None
    done: bool = False

    def add(self, packet: MediaPacket, time_s: float | None, decoding_s: float | None) -> None:
        """Keeps a packet; `after_s` becomes the first time shown at or after the end of the span."""
        self.packets.append(packet)
        if time_s is None:
            return
        if time_s >= self.span.end_s and (self.after_s is None or time_s < self.after_s):
            self.after_s = time_s
        if self.after_s is not None:
            # What is decoded later is shown later: nothing below `after_s` can follow.
            self.done = (time_s - _UNORDERED_S if decoding_s is None else decoding_s) >= self.after_s


@dataclass(frozen=True)
class StretchPackets:
    """Packets in decoding order that show and sound a stretch of a file."""

    video: list[MediaPacket]
    audio: list[MediaPacket]


def collect_packets(media: MediaFile, pictures: Span | None, sound: Span | None) -> StretchPackets:
    """Demuxes a stretch once: pictures from the key frame before it, sound from `sound.start_s` on.

    Args:
        media: The file.
        pictures: First and last wanted picture, None for no pictures.
        sound: Wanted sound with its margins, None for none.
    """
    stream = media.audio if pictures is None else media.video
    starts = [span.start_s for span in (pictures, sound) if span is not None]
    if stream is None or not starts:
        return StretchPackets([], [])
    for back_s in (*_BACK_S, None):
        target = None if back_s is None or min(starts) - back_s <= _START_IS_NEAR_S else min(starts) - back_s
        video, audio = _demux(media, target, pictures, sound)
        reached = (pictures is None or _key_before(media, video, pictures.start_s) is not None) and (
            sound is None or _sound_reached(media, audio, sound.start_s)
        )
        if target is None or reached:
            break
    if pictures is not None:
        video = _needed_pictures(media, video, pictures)
    if sound is not None:
        audio = _needed_sound(media, audio, sound)
    return StretchPackets(video, audio)


def _demux(
    media: MediaFile, target_s: float | None, pictures: Span | None, sound: Span | None
) -> tuple[list[MediaPacket], list[MediaPacket]]:
    stream = media.audio if pictures is None else media.video
    assert stream is not None
    incoming = media.packets(target_s, stream)
    collectors: dict[int, _Collector] = {}
    for kind, span in ((media.video, pictures), (media.audio, sound)):
        if kind is not None and span is not None:
            collectors[kind.index] = _Collector(span, [])
    waiting = len(collectors)
    for packet in incoming:
        collector = collectors.get(packet.stream_index)
        if collector is None or collector.done:
            continue
        base = packet.time_base
        decoding_s = None if packet.dts is None else float(packet.dts * base) - media.origin_s
        collector.add(packet, media.time_of(packet), decoding_s)
        if collector.done:
            waiting -= 1
            if waiting == 0:
                break
    found = [collectors[s.index].packets if s is not None and s.index in collectors else []
             for s in (media.video, media.audio)]
    return found[0], found[1]


def _key_before(media: MediaFile, packets: list[MediaPacket], time_s: float) -> int | None:
    """Returns the position of the last key frame shown at or before a time."""
    found = None
    for position, packet in enumerate(packets):
        shown = media.time_of(packet)
        if packet.is_keyframe and shown is not None and shown <= time_s + 1e-6:
            found = position
    return found


def _needed_pictures(media: MediaFile, packets: list[MediaPacket], span: Span) -> list[MediaPacket]:
    """Drops what stands before the key frame, and what is decoded after the last picture that can be chosen."""
    begin = _key_before(media, packets, span.start_s) or 0
    if not media.exact_times:
        return packets[begin:]
    end = len(packets)
    shown = [media.time_of(packet) for packet in packets]
    after = min((time for time in shown if time is not None and time >= span.end_s), default=None)
    if after is not None:
        end = 1 + max(i for i, time in enumerate(shown) if time is None or time <= after)
    return packets[begin:end]


def _sound_reached(media: MediaFile, packets: list[MediaPacket], start_s: float) -> bool:
    """Says whether packets begin early enough, or as early as the stream does."""
    if media.audio_end_s < start_s:
        return True
    first = next((time for time in map(media.time_of, packets) if time is not None), None)
    return first is not None and first <= max(start_s, media.audio_start_s) + 1e-3


def _needed_sound(media: MediaFile, packets: list[MediaPacket], span: Span) -> list[MediaPacket]:
    """Drops the packets that end before the span."""
    for position, packet in enumerate(packets):
        start = media.time_of(packet)
        if start is None or start + float((packet.duration or 0) * packet.time_base) > span.start_s:
            return packets[position:]
    return []
