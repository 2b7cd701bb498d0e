"""Collects the packets of a time span of a file, and only those that are needed to decode it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from stica_pv.data.decoding.media_file import SAME_TIME_S, MediaFile, MediaPacket, TimedPacket
from stica_pv.data.decoding.pyav import may_be_interlaced
from stica_pv.errors import UnreadableClip

_BACK_S = (0.0, 2.0, 10.0, None)
"""How much further back to seek in each attempt, if the seek missed the time or found no key frame; None: the start."""

_BEYOND_FIELDS = 2
"""If fields are in separate packets, the frame past the end of a window may be in the second and third of them."""

_START_IS_NEAR_S = 1.0
"""Up to this time, reading from the start costs no more than a seek."""

_SPARSE_LEAD_S = 1.0
"""If only some frames have time stamps, decoding starts this much earlier, until the times of all are known."""

_UNORDERED_S = 1.0
"""Without decoding times, largest distance between packet order and presentation order."""


_DENSE_AT = 4
"""Smallest number of steps for which the plausibility of time stamps is checked."""


@dataclass(frozen=True)
class Span:
    """A span of a file's time line, both ends in seconds."""

    start_s: float
    end_s: float


WHOLE_FILE = Span(-math.inf, math.inf)
_NOTHING = Span(math.inf, math.inf)


@dataclass
class _Collector:
    """Collects packets of one stream until `span` is covered, and then `more` further ones."""

    span: Span
    more: int = 0
    beyond: int = 0
    packets: list[TimedPacket] = field(default_factory=list)
    after_s: float | None = None
    done: bool = False
    _past_s: list[float] = field(default_factory=list)

    def add(self, timed: TimedPacket) -> None:
        """Add a packet; `after_s` becomes the first presentation time after the end of the span, or a later one."""
        self.packets.append(timed)
        time_s = timed.time_s
        if time_s is None:
            return
        if time_s >= self.span.end_s and (self.after_s is None or time_s < self.after_s):
            self._past_s = sorted((*self._past_s, time_s))[: self.beyond + 1]
            self.after_s = self._past_s[self.beyond] if len(self._past_s) > self.beyond else None
        if self.after_s is not None:
            # A later decoding time implies a later presentation time: no frame before `after_s` can follow.
            covered = (time_s - _UNORDERED_S if timed.decoding_s is None else timed.decoding_s) >= self.after_s
            self.done = covered and self.more == 0
            self.more = max(0, self.more - 1)


@dataclass(frozen=True)
class StretchPackets:
    """Packets of a time span in decoding order.

    Attributes:
        video: Video packets.
        audio: Audio packets.
        tries: Number of seeks, each further back.
        from_start: Whether the first video packet is the first of the file.
        to_end: Whether the last video packet is the last of the file.
    """

    video: list[MediaPacket]
    audio: list[MediaPacket]
    tries: int = 1
    from_start: bool = True
    to_end: bool = True


def collect_packets(
    media: MediaFile, frame_span: Span | None, audio_span: Span | None, *, tried: int = 0, beyond: int = 0
) -> StretchPackets:
    """Demux a time span once: video from the key frame before it, audio from `audio_span.start_s` on.

    Args:
        media: The file.
        frame_span: Times of the first and last requested frame, None for no frames.
        audio_span: Requested audio with its margins, None for none; a start of minus infinity means the first packet.
        tried: Number of earlier seeks that found no true key frame; seek further back, and keep all packets.
        beyond: Number of additional time stamps to read past the end of the frames.
    """
    stream = media.audio if frame_span is None else media.video
    starts = [span.start_s for span in (frame_span, audio_span) if span is not None]
    if stream is None or not starts:
        return StretchPackets([], [])
    if media.video is not None and may_be_interlaced(media.video):
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
    incoming = media.packets(target_s, stream)  # may reopen the file and its streams
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
    """Return whether time stamps are much denser than the durations allow: audio cannot overlap."""
    return len(times) > _DENSE_AT and times[-1] - times[0] < sum(lengths[:-1]) / 2


def is_encrypted(packets: Sequence[MediaPacket]) -> bool:
    """Return whether the first or the last packet is encrypted; decoding would give noise."""
    return any(packet.has_sidedata("encryption_info") for packet in (*packets[:1], *packets[-1:]))


def _key_before(packets: Sequence[TimedPacket], time_s: float, ahead: int = 0) -> int | None:
    """Return the last key frame presented (or followed after `ahead` packets by a frame presented) by a time."""
    found = None
    for key, later in enumerate(packets[ahead:]):
        if later.time_s is not None and later.time_s <= time_s + SAME_TIME_S and packets[key].packet.is_keyframe:
            found = key
    return found


def _needed_frames(
    media: MediaFile, video: _Collector, span: Span, *, from_start: bool, trust: bool
) -> tuple[int, int]:
    """Return the range of needed packets: from a key frame to the last frame that can be chosen.

    Args:
        media: The file.
        video: The packets.
        span: Times of the first and last requested frame.
        from_start: Whether the packets begin at the start of the file.
        trust: Whether to trust the last key frame before the span; else begin with the first one, or at the start.
    """
    packets = video.packets
    if from_start and (media.decodes_from_start or not trust):
        begin = 0
    elif not trust:
        begin = next((position for position, timed in enumerate(packets) if timed.packet.is_keyframe), 0)
    else:
        lead_s = _SPARSE_LEAD_S if media.sparse_times else 0.0
        begin = _key_before(packets, span.start_s - lead_s, media.reordered) or 0
    if video.after_s is None or media.counts_frames:
        return begin, len(packets)
    needed = (i for i, timed in enumerate(packets) if timed.time_s is None or timed.time_s <= video.after_s)
    return begin, max(needed) + 1


def _audio_reached(media: MediaFile, packets: Sequence[TimedPacket], start_s: float) -> bool:
    """Return whether packets begin early enough, or at the start of the stream."""
    if media.audio_end_s < start_s:
        return True
    # Some codecs (xHE-AAC) can only be decoded from a key packet on, and some packets have no duration.
    keys = (timed.time_s for timed in packets if timed.time_s is not None and timed.packet.is_keyframe)
    first = next(keys, None)
    return first is not None and first <= max(start_s, media.audio_start_s) + 1e-3


def _needed_audio(packets: list[TimedPacket], span: Span) -> list[TimedPacket]:
    """Drop the packets before the last key packet that precedes the span."""
    times = [timed.time_s for timed in packets if timed.time_s is not None]
    if too_dense(times, [timed.seconds for timed in packets]):
        return packets  # the time stamps are not usable
    begin = 0
    for position, timed in enumerate(packets):
        if timed.time_s is not None and timed.time_s > span.start_s:
            break
        if timed.packet.is_keyframe:
            begin = position
    return packets[begin:]
