"""Takes out of a file the packets of one stretch of time, and no more than decoding it needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from stica_pv.data.decoding.media_file import MediaFile, MediaPacket, TimedPacket
from stica_pv.errors import UnreadableClip

_BACK_S = (0.0, 2.0, 10.0, None)
"""How much further back to seek each time the index led past the wanted time or to no key frame; None: to the start."""

_BEYOND_FIELDS = 2
"""Where fields come in packets of their own, the frame past the end of a window may be the second and third of them."""

_INTERLACED = 2
"""FFmpeg's field orders from here on are of fields."""

_START_IS_NEAR_S = 1.0
"""Reading on from the start costs no more than a seek up to here."""

_SPARSE_LEAD_S = 1.0
"""Where only some frames are stamped, decoding starts this much earlier, until the times of all are known."""

_UNORDERED_S = 1.0
"""Without decoding times, how far packets may stand from their order of presentation."""


_DENSE_AT = 4
"""From more time stamps than this on it shows whether they can be true."""


@dataclass(frozen=True)
class Span:
    """A stretch of a file's time line, both ends in seconds."""

    start_s: float
    end_s: float


WHOLE_FILE = Span(-math.inf, math.inf)
_NOTHING = Span(math.inf, math.inf)


@dataclass
class _Collector:
    """Packets of one stream until `span` is covered, and then `more` further ones."""

    span: Span
    more: int = 0
    beyond: int = 0
    packets: list[TimedPacket] = field(default_factory=list)
    after_s: float | None = None
    done: bool = False
    _past_s: list[float] = field(default_factory=list)

    def add(self, timed: TimedPacket) -> None:
        """Keeps a packet; `after_s` becomes the first time shown at or after the end of the span, or a later one."""
        self.packets.append(timed)
        time_s = timed.time_s
        if time_s is None:
            return
        if time_s >= self.span.end_s and (self.after_s is None or time_s < self.after_s):
            self._past_s = sorted((*self._past_s, time_s))[: self.beyond + 1]
            self.after_s = self._past_s[self.beyond] if len(self._past_s) > self.beyond else None
        if self.after_s is not None:
            # What is decoded later is shown later: nothing below `after_s` can follow.
            covered = (time_s - _UNORDERED_S if timed.decoding_s is None else timed.decoding_s) >= self.after_s
            self.done = covered and self.more == 0
            self.more = max(0, self.more - 1)


@dataclass(frozen=True)
class StretchPackets:
    """Packets in decoding order that show and audio a stretch of a file.

    Attributes:
        video: Of its frames.
        audio: Of its audio.
        tries: How many times it was looked for, each time further back.
        from_start: Whether the first packet of its frames is the first of the file.
        to_end: Whether the last packet of its frames is the last of the file.
    """

    video: list[MediaPacket]
    audio: list[MediaPacket]
    tries: int = 1
    from_start: bool = True
    to_end: bool = True


def collect_packets(
    media: MediaFile, frame_span: Span | None, audio_span: Span | None, *, tried: int = 0, beyond: int = 0
) -> StretchPackets:
    """Demuxes a stretch once: frames from the key frame before it, audio from `audio.start_s` on.

    Args:
        media: The file.
        frame_span: First and last wanted frame, None for no frames.
        audio_span: Wanted audio with its margins, None for none; minus infinity as its start means the first packet.
        tried: How many times it was looked for before, and the key frame was none: look further back, and keep all.
        beyond: How many more time stamps past the end of the frames to read.
    """
    stream = media.audio if frame_span is None else media.video
    starts = [span.start_s for span in (frame_span, audio_span) if span is not None]
    if stream is None or not starts:
        return StretchPackets([], [])
    if media.video is not None and media.video.codec_context.field_order >= _INTERLACED:
        beyond = max(beyond, _BEYOND_FIELDS)
    tries = len(_BACK_S) - 1 if media.decodes_from_start else min(tried, len(_BACK_S) - 1)
    for back_s in _BACK_S[tries:]:
        tries += 1
        target = None if back_s is None or min(starts) - back_s <= _START_IS_NEAR_S else min(starts) - back_s
        video, audio = _demux(media, target, frame_span, audio_span, beyond)
        reached = (
            frame_span is None or _key_before(video.packets, frame_span.start_s, media.reordered) is not None
        ) and (audio_span is None or _audio_reached(media, audio.packets, audio_span.start_s))
        if target is None or reached:
            break
    begin, end = 0, 0
    if frame_span is not None:
        begin, end = _needed_frames(media, video, frame_span, from_start=target is None, trust=tried == 0)
    return StretchPackets(
        [timed.packet for timed in video.packets[begin:end]],
        [timed.packet for timed in (_needed_audio(audio.packets, audio_span) if audio_span is not None else ())],
        tries,
        from_start=target is None and begin == 0,
        to_end=not video.done,
    )


def _demux(
    media: MediaFile, target_s: float | None, frame_span: Span | None, audio_span: Span | None, beyond: int
) -> tuple[_Collector, _Collector]:
    stream = media.audio if frame_span is None else media.video
    assert stream is not None
    incoming = media.packets(target_s, stream)  # may open the file anew, and with it the streams
    video, audio = _Collector(frame_span or _NOTHING, media.reordered, beyond), _Collector(audio_span or _NOTHING)
    of_stream = {
        kind.index: collector
        for kind, span, collector in ((media.video, frame_span, video), (media.audio, audio_span, audio))
        if kind is not None and span is not None
    }
    waiting = len(of_stream)
    for timed in incoming:
        collector = of_stream.get(timed.packet.stream_index)
        if collector is None or collector.done:
            continue
        collector.add(timed)
        waiting -= collector.done
        if waiting == 0:
            break
    if is_encrypted([timed.packet for timed in video.packets]):
        raise UnreadableClip(media.path, "the video is encrypted; decrypt the file first")
    return video, audio


def too_dense(times: Sequence[float], lengths: Sequence[float]) -> bool:
    """Says whether time stamps follow each other far faster than what they stamp lasts: audio cannot overlap."""
    return len(times) > _DENSE_AT and times[-1] - times[0] < sum(lengths[:-1]) / 2


def is_encrypted(packets: Sequence[MediaPacket]) -> bool:
    """Says whether packets are encrypted, by the first and the last: decoded, they would give noise."""
    return any(packet.has_sidedata("encryption_info") for packet in (*packets[:1], *packets[-1:]))


def _key_before(packets: Sequence[TimedPacket], time_s: float, ahead: int = 0) -> int | None:
    """Returns the position of the last key frame shown, or `ahead` packets before one shown, at or before a time."""
    found = None
    for key, shown in enumerate(packets[ahead:]):
        if shown.time_s is not None and shown.time_s <= time_s + 1e-6 and packets[key].packet.is_keyframe:
            found = key
    return found


def _needed_frames(
    media: MediaFile, video: _Collector, span: Span, *, from_start: bool, trust: bool
) -> tuple[int, int]:
    """Returns which packets are needed: from a key frame on, to the last one that can be chosen.

    Args:
        media: The file.
        video: The packets.
        span: First and last wanted frame.
        from_start: Whether the packets are from the start of the file on.
        trust: Whether the last key frame before the span may be one; else begin with the first one, or at the start.
    """
    packets = video.packets
    if from_start and (media.decodes_from_start or not trust):
        begin = 0
    elif not trust:
        begin = next((place for place, timed in enumerate(packets) if timed.packet.is_keyframe), 0)
    else:
        lead_s = _SPARSE_LEAD_S if media.sparse_times else 0.0
        begin = _key_before(packets, span.start_s - lead_s, media.reordered) or 0
    if video.after_s is None or media.counts_frames:
        return begin, len(packets)
    needed = (i for i, timed in enumerate(packets) if timed.time_s is None or timed.time_s <= video.after_s)
    return begin, max(needed) + 1


def _audio_reached(media: MediaFile, packets: Sequence[TimedPacket], start_s: float) -> bool:
    """Says whether packets begin early enough, or as early as the stream does."""
    if media.audio_end_s < start_s:
        return True
    # Some codecs (xHE-AAC) can only be decoded from a key packet on, and some packets do not say how long they last.
    keys = (timed.time_s for timed in packets if timed.time_s is not None and timed.packet.is_keyframe)
    first = next(keys, None)
    return first is not None and first <= max(start_s, media.audio_start_s) + 1e-3


def _needed_audio(packets: list[TimedPacket], span: Span) -> list[TimedPacket]:
    """Drops the packets that end before the span, as far as the last key packet before it."""
    times = [timed.time_s for timed in packets if timed.time_s is not None]
    if too_dense(times, [timed.seconds for timed in packets]):
        return packets  # which says that the time stamps mean nothing
    begin = 0
    for position, timed in enumerate(packets):
        if timed.time_s is not None and timed.time_s > span.start_s:
            break
        if timed.packet.is_keyframe:
            begin = position
    return packets[begin:]
