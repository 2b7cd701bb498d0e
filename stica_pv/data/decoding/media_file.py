"""An open media file: its streams, its clock, its duration by the header, and its packets from any time on."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import NamedTuple, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from stica_pv.data.decoding.avi_slots import AviSlots, smallest_frame_bytes
from stica_pv.data.decoding.container import (
    audio_stream,
    failure_cause,
    header_seconds,
    local_path,
    open_container,
    scan_seconds,
    video_stream,
)
from stica_pv.data.decoding.file_head import Stamped, read_head
from stica_pv.data.decoding.seek_notes import seek_notes
from stica_pv.data.decoding.stream_checks import KINDS, StreamKind, stamps_mislead, undecodable_cause, unstamped_delay_s
from stica_pv.errors import UnreadableClip

SAME_TIME_S = 1e-6
"""Tolerance of time stamps, which are fractions rounded to floats."""

MediaPacket: TypeAlias = "Packet[Stream]"  # generic in the stubs only


class TimedPacket(NamedTuple):
    """A packet and its times in seconds on the file's clock, None if the file has none.

    Attributes:
        packet: The packet.
        time_s: Presentation time of its content.
        decoding_s: Decoding time; increases from packet to packet of a stream.
        seconds: Duration of its content, 0 if the file has none.
    """

    packet: MediaPacket
    time_s: float | None
    decoding_s: float | None
    seconds: float


_MOST_REORDERED = 17
"""No codec reorders a frame by more positions than this (H.264: 16)."""

_ROUNDED_LENGTH_S = 0.1
"""Tolerance between a header's length and the length of the packets."""


class MediaFile:
    """An open file with one clock: 0 s is the first frame, or the first audio if there is no video.

    Attributes:
        path: The file, as requested.
        video: The video stream, or None.
        audio: The audio stream, or None.
        origin_s: FFmpeg's time stamp of 0 s.
        seconds: Duration of the video (without video, of the audio) according to the header.
        length_is_of_file: Whether the header gives one length for both streams, so that the video may end earlier.
        audio_start_s: Start of the audio on this clock.
        audio_end_s: End of the audio according to the header.
        audio_from_start: Whether the audio can only be positioned by decoding from the first packet on.
        counts_frames: Whether the container stores no presentation times (AVI, and files with time stamps in decoding
            order): the frames, in presentation order, then fill the slots of their packets.
        sparse_times: Whether only some frames have time stamps (MPEG program streams); such files are read from the
            start.
        reordered: Largest distance in packets from a packet to its presentation slot, if frames are counted; else 0.
        decodes_from_start: Whether no frame can be decoded without those before it, not even a key frame.
        notes: Results of earlier reads about seeking in the file.
        read_error: Reason why demuxing stopped early, if it did.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._local = local_path(path)
        self.read_error: str | None = None
        self.reordered = 0
        self.decodes_from_start = False
        self.audio_from_start = False
        self._open()
        self.counts_frames = self._avi is not None
        # An MPEG program stream has time stamps for some frames only; after a seek, FFmpeg's guesses are wrong.
        self.sparse_times = self._container.format.name == "mpeg"
        try:
            self.notes = seek_notes(self._local)
            self._measure()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "MediaFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._container.close()

    def _open(self) -> None:
        try:
            self._container = open_container(self._local)
        except UnreadableClip as error:
            raise UnreadableClip(self.path, error.cause) from error
        self.video = video_stream(self._container)
        self.audio = audio_stream(self._container)
        avi = self._container.format.name == "avi"
        self._avi = AviSlots(self.video) if avi and self.video is not None else None
        self._smallest = {} if self.video is None else {self.video.index: smallest_frame_bytes(self.video)}
        self._streams: list[Stream] = [s for s in (self.video, self.audio) if s is not None]
        for stream in (self.video, self.audio):
            if stream is not None:
                stream.codec_context.thread_count = 1  # loader workers run in parallel instead
        self._packets = _demuxed(self._container, self._streams)
        self._head: list[MediaPacket] = []
        self._at_start = True

    def _measure(self) -> None:
        if not self._streams:
            causes = [self.undecodable(kind) or f"no {kind} stream" for kind in KINDS]
            raise UnreadableClip(self.path, " and ".join(causes))
        main = self._streams[0]
        self.origin_s = float((main.start_time or 0) * (main.time_base or 0))
        undecodable_s = 0.0 if self.video is None else self._read_head(self.video)
        # FLV, ASF and others give one length for all streams: the frames may end before the audio, or after.
        self.length_is_of_file = not main.duration and "DURATION" not in main.metadata
        lengths = [header_seconds(self._container, stream) for stream in self._streams]
        if None in lengths:
            with open_container(self._local) as container:
                scanned = scan_seconds(container, [container.streams[stream.index] for stream in self._streams])
            lengths = [
                length or scanned.get(stream.index, 0.0) for length, stream in zip(lengths, self._streams, strict=True)
            ]
        self.seconds = max(0.0, (lengths[0] or 0.0) - undecodable_s)
        if self.audio is not None:
            self._measure_audio(self.audio, lengths[-1] or 0.0)

    def _measure_audio(self, audio: AudioStream, seconds: float) -> None:
        self.audio_from_start = stamps_mislead(self._container, audio)
        starts_s = float((audio.start_time or 0) * (audio.time_base or 0))
        late_s = unstamped_delay_s(self._container, audio)
        if self.video is None:
            self.origin_s, self.seconds = self.origin_s + late_s, max(0.0, self.seconds - late_s)
        self.audio_start_s = starts_s + late_s - self.origin_s
        self.audio_end_s = starts_s + seconds - self.origin_s

    def _read_head(self, stream: VideoStream) -> float:
        """Set the attributes that depend on the first packets; return the seconds before the first frame."""
        stamped: Stamped = "some" if self.sparse_times else "none" if self.counts_frames else "all"
        head = read_head(self._local, stream, self._demux(), self.stamp, stamped=stamped)
        self._head, self.decodes_from_start = head.packets, head.needed
        self.counts_frames |= head.without_order
        if self.counts_frames and stream.codec_context.has_b_frames:
            self.reordered = _MOST_REORDERED
        base = float(stream.time_base or 0)
        if head.first_stamp is not None:
            self.origin_s = head.first_stamp * base
        return head.undecodable_ticks * base

    def _demux(self) -> Iterator[MediaPacket]:
        """Yield packets until the end, or until a read error, like FFmpeg's own tools."""
        try:
            for packet in self._packets:
                if packet.size >= self._smallest.get(packet.stream_index, 1):  # PyAV ends each stream with an empty one
                    yield packet
        except av.FFmpegError as error:
            self.read_error = failure_cause(self._local, error)

    def stamp(self, packet: MediaPacket) -> int | None:
        """Return the presentation time of a packet in ticks; if frames are counted, its slot."""
        if self._avi is None or self.video is None or packet.stream_index != self.video.index:
            return packet.pts
        return self._avi.stamp(packet)

    def _timed(self, packets: Iterable[MediaPacket]) -> Iterator[TimedPacket]:
        bases = {stream.index: float(stream.time_base or 0) for stream in self._streams}
        for packet in packets:
            base, pts, dts = bases[packet.stream_index], self.stamp(packet), packet.dts
            yield TimedPacket(
                packet,
                None if pts is None else pts * base - self.origin_s,
                None if dts is None else dts * base - self.origin_s,
                (packet.duration or 0) * base,
            )

    def undecodable(self, kind: StreamKind) -> str:
        """Return why no stream of a kind can be decoded; "" if one can, or if there is no stream."""
        return undecodable_cause(self._local, self._container, kind)

    def audio_fills_length(self) -> bool:
        """Return whether the audio packets last as long as the file according to its header; read the whole file."""
        if self.audio is None:
            return False
        with open_container(self._local) as container:
            audio_s = scan_seconds(container, [container.streams[self.audio.index]]).get(self.audio.index, 0.0)
        return max(0.0, self.audio_start_s) + audio_s + _ROUNDED_LENGTH_S >= self.seconds

    def packets(self, start_s: float | None, stream: Stream) -> Iterator[TimedPacket]:
        """Yield the packets of both streams from the key frame before `start_s` on, by the file's index.

        Args:
            start_s: Seconds on the file's clock; None for the true start of the file.
            stream: The stream whose index is used.
        """
        if start_s is not None and not self.sparse_times and stream.time_base is not None:
            with contextlib.suppress(av.FFmpegError):
                self._container.seek(int((start_s + self.origin_s) / stream.time_base), stream=stream)
                self._at_start = False
                if self._avi is not None:
                    self._avi.after_seek()
                self._packets = _demuxed(self._container, self._streams)
                return self._timed(self._demux())
        if not self._at_start:  # in some containers seeking to 0 does not lead to the first packet
            video, audio = self.video, self.audio
            self._container.close()
            self._open()
            if (video is None) != (self.video is None) or (audio is None) != (self.audio is None):
                raise UnreadableClip(self.path, "the file changed while it was read")
        head, self._head = self._head, []
        self._at_start = False
        return self._timed(chain(head, self._demux()))


def _demuxed(container: InputContainer, streams: Sequence[Stream]) -> Iterator[MediaPacket]:
    """Yield the packets of streams from the current position of the container on.

    PyAV's own generator leaks about 150 bytes per file if it is not exhausted; delegating to it closes it.
    """
    if streams:
        yield from container.demux(*streams)
