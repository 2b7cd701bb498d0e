"""From packets to chosen frames: decode a stretch, keep the frames that were asked for, make each RGB once."""

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
from stica_pv.data.decoding.media_file import MediaFile, MediaPacket
from stica_pv.data.decoding.skipping import skippable_packets
from stica_pv.errors import UnreadableClip

FrameChoice = Literal["nearest", "previous", "following"]
Frame = npt.NDArray[np.uint8]

_SAME_TIME_S = 1e-6
"""Time stamps are fractions; as floats, two that are equal may differ by rounding."""

_WHOLE = 1e-6
"""As `_SAME_TIME_S`, for numbers of frames."""

_CLEARLY_S = 0.25
"""A frame track that ends this long before its header says is cut short, not rounded."""

_CLEARLY_FRAMES = 1.5
"""The same in frames, where they last longer: edit lists cut within a frame."""


class FrameConverter:
    """Makes RGB frames, upright and of one size, with one scaler for the whole file.

    Attributes:
        short_size: Longest allowed shorter side in pixels, 0 for no limit; frames are never enlarged.
    """

    def __init__(self, short_size: int) -> None:
        if short_size < 0:
            raise ValueError(f"short_size must be 0 (as they are) or positive, got {short_size}")
        self.short_size = short_size
        self._reformatter = VideoReformatter()
        self._target: tuple[int, int] | None = None
        self._quarter_turns = 0

    def __call__(self, frame: VideoFrame) -> Frame:
        """Returns uint8 (H, W, 3)."""
        if self._target is None:  # a stream that changes its size later is scaled to how it began
            self._target = scaled_size(frame.width, frame.height, self.short_size)
            self._quarter_turns = round(frame.rotation / 90) % 4
        width, height = self._target
        rgb = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=Interpolation.BILINEAR, threads=1
        )
        pixels: Any = rgb.to_ndarray()
        return np.rot90(pixels, self._quarter_turns) if self._quarter_turns else pixels


def scaled_size(width: int, height: int, short_size: int) -> tuple[int, int]:
    """Returns (width, height) with the shorter side at most `short_size` (0: as it is) and the same shape."""
    short = min(width, height)
    if short_size == 0 or short <= short_size:
        return width, height
    return max(1, round(width * short_size / short)), max(1, round(height * short_size / short))


def frame_rate(stream: VideoStream) -> float:
    """Returns the frames per second of a stream, on the average."""
    return float(stream.average_rate or stream.guessed_rate or 25)


def frame_time(time_s: float, source_fps: float) -> float:
    """Returns when the frame that is shown at a time began, frames being at equal distances from 0 s on."""
    return math.floor(time_s * source_fps + _WHOLE) / source_fps


def following_times(start_s: float, count: int, fps: float, source_fps: float) -> list[float]:
    """Returns the times of the frames that GDT's and STiCA's release takes: whole frames from a first one on.

    The first is the one at or after the start. A clip spans c = count × source_fps / fps frames of the file; the i-th
    of `count` is ⌊i (c − 1) / (count − 1)⌋ behind the first.

    Args:
        start_s: Start of the clip on the file's clock.
        count: Frames of the clip.
        fps: Its frames per second.
        source_fps: Those of the file, at equal distances from 0 s on.
    """
    first = math.ceil(start_s * source_fps - _WHOLE)
    step = max(0.0, count * source_fps / fps - 1) / max(1, count - 1)
    return [(first + math.floor(i * step + _WHOLE)) / source_fps for i in range(count)]


@dataclass
class DecodedFrames:
    """The chosen frames of a stretch.

    Attributes:
        images: Each chosen frame once, uint8 (H, W, 3).
        times_s: When each is shown.
        chosen: Position in `images` by wanted time.
        end_s: When the last decoded frame stops being shown; None if nothing was decoded.
        reached_end: Whether decoding ran out before a frame at or after the last wanted time.
        too_late: Whether no frame that can be trusted is shown at or before the first wanted time.
        error: Why a packet could not be decoded, if one could not.
    """

    images: list[Frame] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)
    chosen: dict[float, int] = field(default_factory=dict)
    end_s: float | None = None
    reached_end: bool = False
    too_late: bool = False
    error: str | None = None

    def add(self, image: Frame, time_s: float) -> int:
        """Keeps a frame and returns its position."""
        self.images.append(image)
        self.times_s.append(time_s)
        return len(self.images) - 1

    def extend(self, other: "DecodedFrames") -> None:
        """Takes over the frames of a later stretch."""
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
    """Decodes packets and chooses a frame for each wanted time.

    Args:
        media: The file that the packets are from.
        packets: Packets of its frame stream in decoding order, from a key frame on.
        wanted_s: Ascending times in seconds on the file's clock.
        frame_choice: ``previous`` is the last at or before a time, else the nearest (of two equally near the earlier).
        convert: Makes the frames.
        from_start: Whether the first packet is the file's first. Elsewhere the container's key frames are not trusted:
            frames before one of which the decoder says that it is a key frame are dropped.
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
        while time is not None and shown_s >= time - _SAME_TIME_S:
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
    if before is not None and time is not None:  # the last frame stays on
        at = before_at if before_at is not None else result.add(convert(before[1]), before[0])
        result.chosen |= {late: at for late in (time, *times)}
    return result


def _earlier_is_chosen(earlier_s: float, wanted_s: float, later_s: float, frame_choice: FrameChoice) -> bool:
    if frame_choice == "previous":
        return later_s > wanted_s + _SAME_TIME_S
    return wanted_s - earlier_s <= later_s - wanted_s + _SAME_TIME_S


def _from_key_frame(
    media: MediaFile, frames: Iterator[tuple[float, VideoFrame]], first_s: float, result: DecodedFrames
) -> Iterator[tuple[float, VideoFrame]]:
    """Yields frames from the first key frame on; none if that is shown after `first_s`, which is noted in `result`."""
    result.too_late = True
    for shown_s, frame in frames:
        if shown_s > first_s + _SAME_TIME_S:
            return
        if is_key_frame(media, frame):
            result.too_late = False
            yield shown_s, frame
            yield from frames


def timed_frames(
    media: MediaFile, packets: Sequence[MediaPacket], result: DecodedFrames, skippable: int = 0
) -> Iterator[tuple[float, VideoFrame]]:
    """Yields frames in the order they are shown, with strictly growing times in seconds; notes errors in `result`.

    Of the first `skippable` packets come only frames that others refer to.
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
    """Says whether a track of frames ends clearly before a promised time."""
    fps = float(media.video.average_rate or 0) if media.video is not None else 0.0
    return end_s + max(_CLEARLY_S, _CLEARLY_FRAMES / fps if fps else 0.0) < promised_s


def check_complete(media: MediaFile, found: DecodedFrames) -> None:
    """Raises `UnreadableClip` if a file, decoded to its end, gave no frame or ended before its header says."""
    reason = found.error or media.read_error
    if found.end_s is None:
        raise UnreadableClip(media.path, "no frame can be decoded" + (f": {reason}" if reason else ""))
    if ends_early(media, found.end_s, media.seconds):
        raise UnreadableClip(media.path, f"frame ends at {found.end_s:.1f} s, the header says {media.seconds:.1f} s")


def _slots(media: MediaFile, packets: Sequence[MediaPacket]) -> "_Slots | None":
    """Returns the slots where frames have to be counted; None where their time stamps are in order after all."""
    if not media.counts_frames:
        return None
    stamps = [media.stamp(packet) for packet in packets]
    known = [stamp for stamp in stamps if stamp is not None]
    ordered = all(earlier <= later for earlier, later in pairwise(known))
    return _Slots(stamps) if ordered else None


class _Slots:
    """Times of frames where the container stores none (AVI): its packets are slots, and frames fill them in order.

    A decoder gives a frame for each packet, `delay` packets late. Those that it holds back, at a key frame or at the
    end, come all at once; those that it drops after a seek, as they need an earlier key frame, leave their slots empty.
    """

    def __init__(self, stamps: Sequence[int | None]) -> None:
        self._stamps = stamps
        self._next = 0

    def take(self, fed: int, delay: int) -> int | None:
        """Returns the time stamp of a frame that came after `fed` packets; None if it is not known."""
        slot = max(self._next, fed - 1 - delay)
        self._next = slot + 1
        return self._stamps[slot] if slot < len(self._stamps) else None


def _decoded(
    media: MediaFile, packets: Sequence[MediaPacket], result: DecodedFrames, skippable: int
) -> Iterator[tuple[int, VideoFrame]]:
    """Yields frames as they leave the decoder, each with the number of packets that it had been given by then."""
    assert media.video is not None
    context = media.video.codec_context
    for fed, packet in enumerate((*packets, None), start=1):
        context.skip_frame = "NONREF" if 1 < fed <= skippable else "DEFAULT"
        try:
            for frame in context.decode(packet):
                yield min(fed, len(packets)), frame
        except av.FFmpegError as error:  # a broken packet is passed over, as FFmpeg does
            result.error = str(error.strerror)
