"""Writes one test file: each frame shows its number, each instant audio tracks its time."""

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np

from stica_pv.commands.reader_check.audio_faults import AudioFault, bad_bytes, stamp_badly
from stica_pv.commands.reader_check.faults import Fault, faulty, faulty_bytes, field_packets
from stica_pv.commands.reader_check.signals import audio_at, numbered_frame
from stica_pv.data.conversion.encoding import encoder_options, priority_kept

SECONDS = 3.0
_TICKS = 1000
_BLOCK = 1024
_UNEVEN_MS = (40, 20, 90, 33, 57)
"""Steps between the frames of a file of variable frame rate."""

_UPRIGHT = bytes.fromhex("00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000")
_TURNED = bytes.fromhex("00000000 00010000 00000000 ffff0000 00000000 00000000 00000000 00000000 40000000")


@dataclass(frozen=True)
class Specimen:
    """What one test file is like.

    Attributes:
        container: Extension of the file.
        video: FFmpeg's name of the frame encoder.
        audio: FFmpeg's name of the audio encoder.
        note: Remark for the table.
        fps: Frames per second.
        rate_hz: Sample rate of the audio.
        layout: Channels, in FFmpeg's words.
        size: Width and height.
        pixels: FFmpeg's name of the pixel format.
        options: Options of the frame encoder.
        muxing: Options of the container.
        video_start_s: Time stamp of the first frame.
        audio_start_s: Time stamp of the first audio.
        uneven: Whether the frame rate varies.
        turned: Whether the header says to turn the frames by 90 degrees (mp4 and mov).
        fault: Fault of a program that writes such files, or a feature that FFmpeg's encoders lack.
        keeps_delay: Whether an encoder's delay that the container has no place for is left in the audio.
        audio_fault: Fault in the stamps of the audio, as some programs write them.
        cause: Why the file cannot be read exactly; empty where it can.
    """

    container: str
    video: str
    audio: str
    note: str = ""
    fps: int = 25
    rate_hz: int = 44100
    layout: str = "stereo"
    size: tuple[int, int] = (64, 64)
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)
    muxing: dict[str, str] = field(default_factory=dict)
    video_start_s: float = 0.0
    audio_start_s: float = 0.0
    uneven: bool = False
    turned: bool = False
    fault: Fault = ""
    keeps_delay: bool = False
    audio_fault: AudioFault = ""
    cause: str = ""

    @property
    def name(self) -> str:
        """A name of letters, digits and dashes."""
        parts = (self.container, self.video, self.audio, self.note, str(self.rate_hz), self.layout, f"{self.fps}fps")
        return "".join(c if c.isalnum() else "-" for c in "-".join(part for part in parts if part))

    @property
    def times_s(self) -> list[float]:
        """When each frame is shown, from the first one on."""
        if not self.uneven:
            return [i / self.fps for i in range(round(SECONDS * self.fps))]
        ends = itertools.accumulate(itertools.cycle(_UNEVEN_MS), initial=0)
        return [end / _TICKS for end in itertools.takewhile(lambda end: end < SECONDS * _TICKS, ends)]


def can_write(specimen: Specimen) -> bool:
    """Return whether FFmpeg was built with both encoders."""
    try:
        return all(av.Codec(name, "w") for name in (specimen.video, specimen.audio))
    except ValueError:  # av's UnknownCodecError
        return False


def write(specimen: Specimen, folder: Path) -> Path:
    """Write the file and return its path."""
    path = folder / f"{specimen.name}.{specimen.container}"
    with priority_kept(), av.open(str(path), "w", options=specimen.muxing) as container:
        frames = _frame_packets(container, specimen)
        audio = _audio_stream(container, specimen)
        delay = _unstored_delay(specimen)
        audio_packets = list(_audio(audio, specimen, delay))
        stamp_badly(specimen.audio_fault, [packet for _, packet in audio_packets])
        packets: list[tuple[float, av.Packet[Any]]] = [*frames, *audio_packets]
        for _, packet in sorted(packets, key=lambda timed: timed[0]):
            if delay and packet.stream is audio:
                packet.pts = packet.dts = (packet.pts or 0) + round(delay / specimen.rate_hz / packet.time_base)
            container.mux(packet)
    if specimen.fault:
        path.write_bytes(faulty_bytes(specimen.fault, path.read_bytes()))
    if specimen.audio_fault:
        path.write_bytes(bad_bytes(specimen.audio_fault, path.read_bytes()))
    if specimen.turned:
        path.write_bytes(_turned(path.read_bytes()))
    return path


def _audio_stream(container: av.container.OutputContainer, specimen: Specimen) -> av.AudioStream:
    stream: Any = container.add_stream(
        specimen.audio, rate=specimen.rate_hz, layout=specimen.layout, options={"strict": "-2"}
    )
    if specimen.rate_hz >= 32000:
        stream.bit_rate = 128_000 if specimen.layout in ("mono", "stereo") else 384_000
    return cast(av.AudioStream, stream)


def _unstored_delay(specimen: Specimen) -> int:
    """Return the encoder's delay in samples where the container (AVI) has no place for it: then it is cut off."""
    if specimen.container != "avi" or specimen.keeps_delay:
        return 0
    with av.open(io.BytesIO(), "w", format="nut") as container:
        packets = [packet for _, packet in _audio(_audio_stream(container, specimen), specimen, 0)]
    return -min(0, round(float((packets[0].pts or 0) * packets[0].time_base) * specimen.rate_hz))


def _turned(data: bytes) -> bytes:
    """Put a quarter turn into the first track's header (the first matrix is that of the whole film)."""
    first = data.index(_UPRIGHT, data.index(b"tkhd"))
    return data[:first] + _TURNED + data[first + len(_TURNED) :]


def _frame_packets(
    container: av.container.OutputContainer, specimen: Specimen
) -> "list[tuple[float, av.Packet[av.VideoStream]]]":
    """Add the stream of frames and return its packets, each with the time at which it is written."""
    if specimen.fault == "fields":
        return field_packets(container, len(specimen.times_s), specimen.fps, specimen.size)
    base = Fraction(1, _TICKS) if specimen.uneven else Fraction(1, specimen.fps)
    options = encoder_options(specimen.video, {"g": "12", **specimen.options})
    video: Any = container.add_stream(specimen.video, rate=specimen.fps, options=options)
    video.width, video.height = specimen.size
    video.pix_fmt, video.bit_rate = specimen.pixels, 3_000_000
    video.codec_context.time_base = base
    timed = list(_frames(video, specimen, base))
    packets = faulty(specimen.fault, [packet for _, packet in timed])
    times = [time for time, _ in timed] + [timed[-1][0]] * (len(packets) - len(timed))
    return list(zip(times, packets, strict=True))


def _frames(
    stream: av.VideoStream, specimen: Specimen, base: Fraction
) -> Iterator[tuple[float, "av.Packet[av.VideoStream]"]]:
    times: Sequence[float | None] = (*specimen.times_s, None)
    at = 0.0
    for number, time in enumerate(times):
        frame = None
        if time is not None:
            at = specimen.video_start_s + time
            output = numbered_frame(number, *specimen.size)
            frame = av.VideoFrame.from_ndarray(output, format="rgb24")
            frame.pts, frame.time_base = round(at / base), base
        for packet in stream.encode(frame):
            yield at, packet


def _audio(
    stream: av.AudioStream, specimen: Specimen, delay: int
) -> Iterator[tuple[float, "av.Packet[av.AudioStream]"]]:
    rate, channels = specimen.rate_hz, len(av.AudioLayout(specimen.layout).channels)
    zero_s = specimen.audio_start_s - specimen.video_start_s  # time 0 is the first frame
    samples = audio_at(zero_s + (delay + np.arange(round(SECONDS * rate))) / rate)
    at = specimen.audio_start_s
    for begin in range(0, len(samples), _BLOCK):
        block = np.tile(samples[begin : begin + _BLOCK], (channels, 1))
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=specimen.layout)
        frame.sample_rate, frame.pts = rate, round(specimen.audio_start_s * rate) + begin
        at = specimen.audio_start_s + begin / rate
        for packet in stream.encode(frame):
            yield at, packet
    for packet in stream.encode(None):
        yield at, packet
