"""From packets to chosen frames: decodes a time span, keeps the requested frames, converts each to RGB once."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import av
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from stica_pv.data.decoding.key_frames import is_key_frame
from stica_pv.data.decoding.media_file import SAME_TIME_S, MediaFile, MediaPacket
from stica_pv.data.decoding.skipping import skippable_packets
from stica_pv.errors import UnreadableClip

FrameChoice = Literal["nearest", "previous", "following"]
Frame = npt.NDArray[np.uint8]

_WHOLE = 1e-6
"""As SAME_TIME_S, for numbers of frames."""

CLEARLY_S = 0.25
"""A stream that is shorter than its header says by more than this is truncated; less may be rounding."""

_CLEARLY_FRAMES = 1.5
"""The same in frames, for low frame rates: edit lists may cut within a frame."""


class FrameConverter:
    """Converts frames to RGB, upright and of equal size, with one scaler for the whole file.

    Attributes:
        short_size: Largest short side in pixels, 0 for no limit; frames are never enlarged.
    """

    def __init__(self, short_size: int) -> None:
        if short_size < 0:
            raise ValueError(f"short_size must be 0 (no limit) or positive, got {short_size}")
        self.short_size = short_size
        self._reformatter = VideoReformatter()
        self._target: tuple[int, int] | None = None
        self._quarter_turns = 0

    def __call__(self, frame: VideoFrame) -> Frame:
        """Return uint8 (H, W, 3)."""
        if self._target is None:  # if the size changes later, frames are scaled to the first size
            self._target = scaled_size(frame.width, frame.height, self.short_size)
            self._quarter_turns = round(frame.rotation / 90) % 4
        width, height = self._target
        rgb = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=Interpolation.BILINEAR, threads=1
        )
        pixels: Any = rgb.to_ndarray()
        return np.rot90(pixels, self._quarter_turns) if self._quarter_turns else pixels


def scaled_size(width: int, height: int, short_size: int) -> tuple[int, int]:
    """Return (width, height) with a short side of at most `short_size` (0: no limit) and the same aspect ratio."""
    short = min(width, height)
    if short_size == 0 or short <= short_size:
        return width, height
    return max(1, round(width * short_size / short)), max(1, round(height * short_size / short))


def frame_rate(stream: VideoStream) -> float:
    """Return the mean number of frames per second of a stream."""
    return float(stream.average_rate or stream.guessed_rate or 25)


def frame_time(time_s: float, source_fps: float) -> float:
    """Return the start time of the frame that is presented at a time, for equally spaced frames from 0 s on."""
    return math.floor(time_s * source_fps + _WHOLE) / source_fps


def following_times(start_s: float, count: int, fps: float, source_fps: float) -> list[float]:
    """Return the times of the frames that the released code of GDT and STiCA takes.

    The first frame is the one at or after the start. A clip spans c = count × source_fps / fps frames of the file; the
    i-th of `count` frames is ⌊i (c − 1) / (count − 1)⌋ after the first.

    Args:
        start_s: Start of the clip on the file's clock.
        count: Number of frames of the clip.
        fps: Frames per second of the clip.
        source_fps: Frames per second of the file, equally spaced from 0 s on.
    """
    first = math.ceil(start_s * source_fps - _WHOLE)
    step = max(0.0, count * source_fps / fps - 1) / max(1, count - 1)
    return [(first + math.floor(i * step + _WHOLE)) / source_fps for i in range(count)]


@dataclass
class DecodedFrames:
    """The chosen frames of a time span.

    Attributes:
        images: Each chosen frame once, uint8 (H, W, 3).
        times_s: Presentation time of each.
        chosen: Position in `images` by requested time.
        end_s: End time of the last decoded frame; None if nothing was decoded.
        reached_end: Whether decoding ended before a frame at or after the last requested time.
        too_late: Whether there is no reliable frame at or before the first requested time.
        error: Error of a packet that could not be decoded, if any.
    """

    images: list[Frame] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    chosen: dict[float, int] = field(default_factory=dict)
    end_s: float | None = None
    reached_end: bool = False
    too_late: bool = False
    error: str | None = None

    def add(self, image: Frame, time_s: float) -> int:
        """Add a frame and return its position."""
        self.images.append(image)
        self.times_s.append(time_s)
        return len(self.images) - 1

    def extend(self, other: "DecodedFrames") -> None:
        """Add the frames of a later time span."""
        self.chosen |= {time: at + len(self.images) for time, at in other.chosen.items()}
        self.images += other.images
        self.times_s += other.times_s
        self.end_s = other.end_s if self.end_s is None else max(self.end_s, other.end_s or 0.0)


def decode_frames(
    media: MediaFile,
    packets: Sequence[MediaPacket],
    wanted_s: Sequence[float],
    frame_choice: FrameChoice,
    convert: FrameConverter,
    *,
    from_start: bool = True,
) -> DecodedFrames:
    """Decode packets and chooses a frame for each requested time.

    Args:
        media: The file of the packets.
        packets: Video packets in decoding order, from a key frame on.
        wanted_s: Requested times, increasing, in seconds on the file's clock.
        frame_choice: ``previous`` is the last at or before a time, else the nearest (of two equally near the earlier).
        convert: Converts decoded frames to RGB.
        from_start: Whether the first packet is the file's first. Otherwise the container's key frames are not trusted:
            frames before the first one that the decoder marks as a key frame are dropped.
    """
    result = DecodedFrames()
    times = iter(wanted_s)
    time = next(times, None)
    before: tuple[float, VideoFrame] | None = None
    before_at: int | None = None
    skippable = skippable_packets(media, packets, wanted_s[0])
    frames = timed_frames(media, packets, result, skippable)
    if not from_start:
        frames = _from_key_frame(media, frames, wanted_s[0], result)
    for shown_s, frame in frames:
        at: int | None = None
        while time is not None and shown_s >= time - SAME_TIME_S:
            if before is not None and _earlier_is_chosen(before[0], time, shown_s, frame_choice):
                if before_at is None:
                    before_at = result.add(convert(before[1]), before[0])
                result.chosen[time] = before_at
            else:
                if at is None:
                    at = result.add(convert(frame), shown_s)
                result.chosen[time] = at
            time = next(times, None)
        before, before_at = (shown_s, frame), at
        if time is None:
            return result
    result.reached_end = True
    if before is not None and time is not None:  # the last frame is repeated
        at = before_at if before_at is not None else result.add(convert(before[1]), before[0])
        result.chosen |= {late: at for late in (time, *times)}
    return result


def _earlier_is_chosen(earlier_s: float, wanted_s: float, later_s: float, frame_choice: FrameChoice) -> bool:
    if frame_choice == "previous":
        return later_s > wanted_s + SAME_TIME_S
    return wanted_s - earlier_s <= later_s - wanted_s + SAME_TIME_S


def _from_key_frame(
    media: MediaFile, frames: Iterator[tuple[float, VideoFrame]], first_s: float, result: DecodedFrames
) -> Iterator[tuple[float, VideoFrame]]:
    """Yield frames from the first key frame on; none if it is after `first_s`, which is recorded in `result`."""
    result.too_late = True
    for shown_s, frame in frames:
        if shown_s > first_s + SAME_TIME_S:
            return
        if is_key_frame(media, frame):
            result.too_late = False
            yield shown_s, frame
            yield from frames


def timed_frames(
    media: MediaFile, packets: Sequence[MediaPacket], result: DecodedFrames, skippable: int = 0
) -> Iterator[tuple[float, VideoFrame]]:
    """Yield frames in presentation order, with strictly increasing times in seconds; records errors in `result`.

    Of the first `skippable` packets, only reference frames are decoded.
    """
    stream = media.video
    assert stream is not None
    base = float(stream.time_base or 0)
    interval = 1 / frame_rate(stream)
    slots = _slots(media, packets)
    last: float | None = None
    for fed, frame in _decoded(media, packets, result, skippable):
        stamps = (frame.pts, frame.dts) if slots is None else (slots.take(fed, stream.codec_context.reorder_depth),)
        seconds = [stamp * base - media.origin_s for stamp in stamps if stamp is not None]
        growing = (time for time in seconds if last is None or time > last)
        shown = next(growing, 0.0 if last is None else last + interval)
        last = shown
        result.end_s = shown + max(float(frame.duration or 0) * base, interval)
        yield shown, frame


def ends_early(media: MediaFile, end_s: float, promised_s: float) -> bool:
    """Return whether the video ends clearly before an expected time."""
    fps = float(media.video.average_rate or 0) if media.video is not None else 0.0
    return end_s + max(CLEARLY_S, _CLEARLY_FRAMES / fps if fps else 0.0) < promised_s


def check_complete(media: MediaFile, found: DecodedFrames) -> None:
    """Raise `UnreadableClip` if a file, decoded to its end, has no frame or is shorter than its header says."""
    reason = found.error or media.read_error
    if found.end_s is None:
        raise UnreadableClip(media.path, "no frame can be decoded" + (f": {reason}" if reason else ""))
    if ends_early(media, found.end_s, media.seconds):
        raise UnreadableClip(media.path, f"video ends at {found.end_s:.1f} s, the header says {media.seconds:.1f} s")


def _slots(media: MediaFile, packets: Sequence[MediaPacket]) -> "_Slots | None":
    """Return the slots if frames have to be counted; None if time stamps are in presentation order."""
    if not media.counts_frames:
        return None
    stamps = [media.stamp(packet) for packet in packets]
    known = [stamp for stamp in stamps if stamp is not None]
    ordered = all(earlier <= later for earlier, later in pairwise(known))
    return _Slots(stamps) if ordered else None


class _Slots:
    """Times of frames if the container stores none (AVI): its packets are slots, and frames fill them in order.

    A decoder returns a frame for each packet, `delay` packets late. At a key frame or at the end, it returns all
    delayed frames at once. Frames that it drops after a seek (they need an earlier key frame) leave empty slots.
    """

    def __init__(self, stamps: Sequence[int | None]) -> None:
        self._stamps = stamps
        self._next = 0

    def take(self, fed: int, delay: int) -> int | None:
        """Return the time stamp of a frame that was decoded after `fed` packets; None if unknown."""
        slot = max(self._next, fed - 1 - delay)
        self._next = slot + 1
        return self._stamps[slot] if slot < len(self._stamps) else None


def _decoded(
    media: MediaFile, packets: Sequence[MediaPacket], result: DecodedFrames, skippable: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield frames in the order of decoding, each with the number of packets sent to the decoder so far."""
    assert media.video is not None
    context = media.video.codec_context
    for fed, packet in enumerate((*packets, None), start=1):
        context.skip_frame = "NONREF" if 1 < fed <= skippable else "DEFAULT"
        try:
            for frame in context.decode(packet):
                yield min(fed, len(packets)), frame
        except av.FFmpegError as error:  # a broken packet is skipped, as in FFmpeg
            result.error = str(error.strerror)
