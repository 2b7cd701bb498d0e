"""Audio on a file's clock: decoded samples at the positions of their time stamps, silence elsewhere."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame, format_dtypes
from av.audio.resampler import AudioResampler
from av.filter.graph import Graph

from stica_pv.data.decoding.audio_times import frame_positions, jittered
from stica_pv.data.decoding.demux import Span, collect_packets, is_encrypted, too_dense
from stica_pv.data.decoding.media_file import MediaFile, MediaPacket
from stica_pv.data.decoding.pyav import decoder_delay

Samples = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

MARGIN_S = 0.05
"""Audio read on both sides of a window, to avoid edge effects of the resampling filter."""

_PREROLL_S = 0.1
"""Decoders need this much audio until their output is correct (Opus 80 ms)."""

_RESERVOIR_CODECS = ("mp3", "wma")
"""Codecs (by how their names begin) whose packets contain bits of later frames: more frames, the lower the bit rate."""

_RESERVOIR_PREROLL_S, _SLOW_RESERVOIR_PREROLL_S, _SLOW_HZ = 0.25, 0.5, 32000
"""How much audio these need, and how much below a sample rate."""

_JITTER_S = 1e-3
"""Time stamps of some containers are rounded to milliseconds; smaller steps between frames are not gaps."""

_PLANES = 8
"""From this many planar channels on, PyAV 18 reads out of bounds and crashes; packed audio has one plane."""

_LASTING_S = 0.5
"""A deviation of time stamps that ends within this time is jitter; a gap lasts longer."""

_ENCRYPTED = "the audio is encrypted; decrypt the file first"


def preroll_seconds(media: MediaFile) -> float:
    """Return how long before the requested audio decoding has to start."""
    if media.audio is None:
        return 0.0
    context = media.audio.codec_context
    rate_hz = context.sample_rate or 8000
    least_s = _PREROLL_S
    if context.name.startswith(_RESERVOIR_CODECS):
        least_s = _RESERVOIR_PREROLL_S if rate_hz >= _SLOW_HZ else _SLOW_RESERVOIR_PREROLL_S
    delay = decoder_delay(context)  # opens the decoder, which may then know the size of its frames
    return max(least_s, 2 * (context.frame_size or 0) / rate_hz) + delay / rate_hz


class AudioTrack:
    """Decoded mono audio of a file at its own sample rate; the time of sample k is k / rate_hz on the file's clock.

    Attributes:
        rate_hz: Sample rate of the decoder; 0 before anything was decoded.
        error: Error of a packet that could not be decoded, if any.
    """

    def __init__(self) -> None:
        self.rate_hz = 0
        self.error: str | None = None
        self._pieces: list[tuple[int, Samples]] = []

    def decode(self, media: MediaFile, packets: Sequence[MediaPacket], *, from_start: bool = False) -> bool:
        """Add the audio of consecutive packets.

        Args:
            media: The file.
            packets: Audio packets of the file.
            from_start: Whether they begin with the first packet of the file.

        Returns:
            False if the audio can only be positioned by decoding from the first packet on; then nothing is added.
        """
        base = float(media.audio.time_base or 0) if media.audio else 0.0
        pieces: list[Samples] = []
        times: list[float] = []
        for frame in self._decoded(media, packets):
            self.rate_hz = self.rate_hz or frame.sample_rate
            if frame.sample_rate == self.rate_hz:  # if the rate changes midway, the rest counts as missing
                pieces.append(mono(frame))
                times.append(math.nan if frame.pts is None else frame.pts * base - media.origin_s)
        if not pieces:  # perhaps because the first packet needs the one before it
            return from_start or self.error in (None, _ENCRYPTED)
        stamps, lengths = np.array(times) * self.rate_hz, np.array([len(piece) for piece in pieces])
        tolerance, lasting = max(_JITTER_S, 1.5 * base) * self.rate_hz, _LASTING_S * self.rate_hz
        if from_start and np.isnan(stamps).all():  # WMA Pro and Lossless; the first frame is that of the first packet
            stamps[0] = ((packets[0].pts or 0) * base - media.origin_s) * self.rate_hz
        known = np.isfinite(stamps)
        dense = too_dense(stamps[known].tolist(), lengths[known].tolist())
        if dense:
            stamps[1:] = np.nan
        sure = bool(known.any()) and not dense and not jittered(stamps, lengths, tolerance, lasting)
        if sure or from_start:
            firsts = frame_positions(stamps, lengths, tolerance, lasting, first_counts=from_start and not sure)
            self._pieces += zip(firsts, pieces, strict=True)
        return sure or from_start

    def decode_from_start(self, media: MediaFile, end_s: float) -> None:
        """Add all audio from the first packet on to a time in seconds."""
        self.error = None
        self.decode(media, collect_packets(media, None, Span(-math.inf, end_s)).audio, from_start=True)

    def _decoded(self, media: MediaFile, packets: Sequence[MediaPacket]) -> Iterator[AudioFrame]:
        if media.audio is None or not packets:
            return
        if is_encrypted(packets):
            self.error = _ENCRYPTED
            return
        context = media.audio.codec_context
        for packet in (*packets, None):
            try:
                yield from context.decode(packet)
            except av.FFmpegError as error:  # a broken packet is skipped, as in FFmpeg
                self.error = str(error.strerror)

    @property
    def extent(self) -> tuple[int, int]:
        """First sample, and the one after the last; both 0 before anything was decoded."""
        starts = [start for start, _ in self._pieces]
        return min(starts, default=0), max((start + len(piece) for start, piece in self._pieces), default=0)

    def cut(self, first: int, count: int) -> tuple[Samples, Mask]:
        """Return `count` samples from sample `first` on, and a mask of the real ones."""
        samples, present = np.zeros(count, np.float32), np.zeros(count, np.bool_)
        for start, piece in self._pieces:
            low, high = max(start, first), min(start + len(piece), first + count)
            if low < high:
                samples[low - first : high - first] = piece[low - start : high - start]
                present[low - first : high - first] = True
        return samples, present

    def cut_loop(self, first: int, count: int, period: int) -> tuple[Samples, Mask]:
        """Return the same as `cut` for the audio in [0, period) repeated in both directions."""
        if count > period:
            samples, present = self.cut(0, period)
            index = np.arange(first, first + count) % period
            return samples[index], present[index]
        first %= period
        parts = [self.cut(first, min(count, period - first)), self.cut(0, max(0, first + count - period))]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def render(
        self, start_s: float, seconds: float, rate_hz: int, loop_s: float | None = None
    ) -> tuple[Samples, float]:
        """Return the audio of a window.

        Args:
            start_s: Start on the file's clock.
            seconds: Length.
            rate_hz: Requested sample rate.
            loop_s: Length of the file if it is repeated, None if it is followed by silence.

        Returns:
            float32 (round(seconds * rate_hz),) in [-1, 1], and the share of it that is real.
        """
        wanted = round(seconds * rate_hz)
        native = self.rate_hz
        if native == 0:
            return np.zeros(wanted, np.float32), 0.0
        first, count = round(start_s * native), max(1, round(seconds * native))
        margin = 0 if native == rate_hz else math.ceil(MARGIN_S * native)
        if native == rate_hz:
            count = wanted
        begin, total = first - margin, count + 2 * margin
        if loop_s is None:
            samples, present = self.cut(begin, total)
        else:
            samples, present = self.cut_loop(begin, total, max(1, round(loop_s * native)))
        valid = float(present[margin : margin + count].mean()) if count else 0.0
        if margin:
            samples = resample(samples, native, rate_hz)
            offset = round((start_s - begin / native) * rate_hz)
            samples = samples[offset : offset + wanted]
        return np.clip(samples, -1.0, 1.0), valid


def mono(frame: AudioFrame) -> Samples:
    """Return the mean of a frame's channels, float32 (S,), integers scaled to [-1, 1]."""
    if not frame.samples:
        return np.zeros(0, np.float32)
    planar, channels = frame.format.is_planar, frame.layout.nb_channels
    if frame.format.name not in format_dtypes or (planar and channels >= _PLANES):
        frame, planar = AudioResampler(format="flt").resample(frame)[0], False
    # Planes without a copy: `to_ndarray` stacks them, which takes as long as decoding them.
    dtype = np.dtype(format_dtypes[frame.format.name])
    count = frame.samples * (1 if planar else channels)
    planes = [np.frombuffer(plane, dtype, count) for plane in frame.planes]  # type: ignore[call-overload]
    parts = planes if planar else [planes[0][channel::channels] for channel in range(channels)]
    mixed: Samples = parts[0].astype(np.float32)
    for part in parts[1:]:
        np.add(mixed, part, out=mixed, dtype=np.float32, casting="unsafe")
    if channels > 1:
        mixed /= np.float32(channels)
    if dtype == np.uint8:
        mixed = np.asarray((mixed - 128) / 128, np.float32)
    elif np.issubdtype(dtype, np.integer):
        mixed /= -float(np.iinfo(dtype).min)
    return mixed


def resample(samples: Samples, from_hz: int, to_hz: int) -> Samples:
    """Resample float32 (S,) in one piece with swresample, without delay: both ends keep their times."""
    graph = Graph()  # the graph of av.AudioResampler, but without a thread pool for each clip
    graph.threads = 1
    source = graph.add("abuffer", sample_rate=str(from_hz), sample_fmt="fltp", channel_layout="mono")
    graph.link_nodes(source, graph.add("aresample", str(to_hz)), graph.add("abuffersink")).configure()
    frame = AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
    frame.sample_rate = from_hz
    graph.push(frame)
    graph.push(None)
    parts: list[Any] = []
    with contextlib.suppress(EOFError):  # the end of the flushed graph
        while True:
            parts.append(graph.pull().to_ndarray())
    return np.asarray(np.concatenate(parts, axis=1)[0], np.float32)
