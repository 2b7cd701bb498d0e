"""Makes small media files whose every frame shows its number and whose audio is a known sweep."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from stica_pv.data.conversion.encoding import encoder_options

BITS = 8
SAMPLE_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def numbered_frame(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) with the bits of `number` as vertical stripes, the highest on the left."""
    bits = np.array([(number >> (BITS - 1 - i)) & 1 for i in range(BITS)], np.uint8)
    row = np.repeat(bits, width // BITS + 1)[:: (width // BITS + 1)].repeat(width // BITS)
    row = np.pad(row, (0, width - len(row)), mode="edge")
    return np.broadcast_to(row[None, :, None] * 205 + 25, (height, width, 3)).astype(np.uint8)


def numbers_of(frames: "NDArray[np.uint8]") -> list[int]:
    """Read the numbers of (3, T, H, W) frames."""
    pixels = np.asarray(frames)
    width = pixels.shape[3] // BITS
    stripes = pixels[..., : width * BITS].mean(axis=(0, 2)).reshape(-1, BITS, width).mean(axis=2)
    return [int("".join(str(int(bit)) for bit in row), 2) for row in (stripes > 128)]


def sweep(times_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return a tone that rises from 200 Hz by 200 Hz a second, so that it fits itself at one place only."""
    return (0.5 * np.sin(2 * np.pi * (200 * times_s + 100 * times_s**2))).astype(np.float32)


def lag_seconds(audio: NDArray[np.float32], start_s: float, rate_hz: int, search_s: float = 0.08) -> float:
    """Return by how much a piece of the sweep is later than it should be, to a sample."""
    around = round(search_s * rate_hz)
    truth = sweep(start_s + np.arange(-around, len(audio) + around) / rate_hz)
    size = len(truth) + len(audio)
    fit = np.fft.irfft(np.fft.rfft(truth, size) * np.conj(np.fft.rfft(audio, size)), size)[: 2 * around + 1]
    return float(around - int(np.argmax(fit))) / rate_hz


def needs_encoders(*names: str) -> None:
    """Skip the test if FFmpeg was built without one of these."""
    for name in names:
        try:
            av.Codec(name, "w")
        except Exception:  # noqa: BLE001 - PyAV's error for this differs between versions
            pytest.skip(f"no encoder {name} here")


def make_media(
    path: Path,
    *,
    video: str | None = "libx264",
    audio: str | None = "aac",
    seconds: float = 4.0,
    fps: int = 25,
    size: tuple[int, int] = (64, 48),
    pix_fmt: str = "yuv420p",
    rate_hz: int = 44100,
    layout: str = "stereo",
    audio_seconds: float | None = None,
    video_start_s: float = 0.0,
    audio_start_s: float = 0.0,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    broken_frames: range = range(0),
    broken_audio: bool = False,
) -> Path:
    """Write a file; frame i at i / fps shows i, the sweep is 0 at the first frame whatever the start times are."""
    needs_encoders(*(name for name in (video, audio) if name))
    with av.open(str(path), "w", options=container_options or {}) as container:
        streams = []
        if video:
            v = container.add_stream(video, rate=fps, options=encoder_options(video, {"g": "12", **(options or {})}))
            v.width, v.height, v.pix_fmt, v.bit_rate = *size, pix_fmt, 400_000
            streams.append(_frames(v, round(seconds * fps), fps, size, round(video_start_s * fps)))
        if audio:
            a = container.add_stream(audio, rate=rate_hz, layout=layout)
            length = seconds if audio_seconds is None else audio_seconds
            streams.append(_audio(a, audio_start_s, length, video_start_s, rate_hz, layout))
        packets = sorted(itertools.chain(*streams), key=lambda timed: timed[0])
        shown = 0
        for _, packet in packets:
            if video and packet.stream_index == 0:
                shown += 1
                if shown - 1 in broken_frames:
                    packet = _broken(packet)
            elif broken_audio:
                packet = _broken(packet, b"\x55")
            container.mux(packet)
    return path


def _frames(stream, count, fps, size, first):
    for i in range(count + 1):
        frame = None
        if i < count:
            frame = av.VideoFrame.from_ndarray(numbered_frame(i, *size), format="rgb24")
            frame.pts, frame.time_base = first + i, Fraction(1, fps)
        for packet in stream.encode(frame):
            yield (first + i) / fps, packet


def _audio(stream, start_s, seconds, zero_s, rate_hz, layout):
    count, channels = round(seconds * rate_hz), len(av.AudioLayout(layout).channels)
    samples = sweep(start_s - zero_s + np.arange(count) / rate_hz)
    for begin in range(0, count + 1024, 1024):
        block = samples[begin : begin + 1024]
        frame = None
        if len(block):
            frame = av.AudioFrame.from_ndarray(np.tile(block, (channels, 1)), format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate_hz, round(start_s * rate_hz) + begin
        for packet in stream.encode(frame) if frame is not None or begin >= count else ():
            yield start_s + begin / rate_hz, packet
        if frame is None:
            return


def _broken(packet, byte=b"\xff"):
    broken = av.Packet(byte * packet.size)
    broken.stream, broken.time_base = packet.stream, packet.time_base
    broken.pts, broken.dts, broken.duration = packet.pts, packet.dts, packet.duration
    return broken
