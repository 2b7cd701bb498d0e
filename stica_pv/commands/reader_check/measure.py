"""Reads windows of a test file and measures how far the frames and the audio are from where they belong."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import stica_pv.compat  # noqa: F401

import av
import numpy as np
from pytorchvideo.data.encoded_video_pyav import EncodedVideoPyAV

from stica_pv.commands.reader_check.signals import Audio, lag_seconds, numbers_of
from stica_pv.commands.reader_check.specimens import SECONDS, Specimen
from stica_pv.data.decoding.media_file import MediaFile
from stica_pv.data.decoding.reader import read
from stica_pv.errors import UnreadableClip
from stica_pv.structures import Clip, ClipRequest, Window
from stica_pv.structures.media import AtEnd

CLIP_S = 0.5
INSIDE_S = (0.0, 0.013, 0.97, 1.37, 2.49)
BEYOND: tuple[tuple[float, float, AtEnd], ...] = (
    (2.8, CLIP_S, "pad"), (2.8, CLIP_S, "shift"), (2.7, CLIP_S, "loop"),
    (0.5, 4.0, "pad"), (0.5, 4.0, "shift"), (0.5, 4.0, "loop"),
)  # fmt: skip
"""Windows past the end: start, length, and the handling of the end."""

_ROUNDED_S = 1.1e-3
"""Some containers store whole milliseconds, so frames that are almost the nearest are accepted."""

_EDGE_S = 0.06
_SEARCH_S = 0.6
_OTHER_RATE_HZ = 24000


@dataclass
class Errors:
    """Errors in one file.

    Attributes:
        num_frames: Number of requested frames.
        wrong: Number of wrong or missing frames.
        frame_s: Largest time between a frame and the expected one.
        num_audio: Number of requested windows of audio.
        silent: Number of windows whose audio was missing or not recognized.
        audio_s: Largest lag of the audio, negative if it is early.
        length_s: Length according to the reader minus the true length.
        remark: Another error of all frames.
        failure: Message of the first failure, empty if there was none.
        details: Description of every error.
    """

    num_frames: int = 0
    wrong: int = 0
    frame_s: float = 0.0
    num_audio: int = 0
    silent: int = 0
    audio_s: float = 0.0
    length_s: float = 0.0
    remark: str = ""
    failure: str = ""
    details: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every frame was right and all audio within 1 ms."""
        return not self.failure and self.wrong == 0 and self.silent == 0 and abs(self.audio_s) < 1e-3

    def note_frames(self, label: str, got: Sequence[float | None], belong: Sequence[float]) -> None:
        """Compare the true times of frames with those that belong there; None is a frame of no known number."""
        self.num_frames += len(belong)
        extra = len(got) - len(belong)
        bad = [(a, b) for a, b in zip(got, belong, strict=False) if a is None or abs(a - b) > 1e-9]
        self.wrong += len(bad) + abs(extra)
        self.frame_s = max([self.frame_s, *(abs(a - b) for a, b in bad if a is not None)])
        if bad or extra:
            self.details.append(f"{label}: {len(bad)} wrong, {extra:+d}, first {bad[:1]}")

    def note_audio(self, label: str, audio: Audio, start_s: float, rate_hz: int) -> None:
        """Measure the lag of audio that should begin at `start_s`."""
        self.num_audio += 1
        lag = lag_seconds(audio, start_s, rate_hz, _SEARCH_S)
        if lag is None:
            self.silent += 1
            self.details.append(f"{label}: audio not recognized")
        elif abs(lag) > abs(self.audio_s):
            self.audio_s = lag
            self.details.append(f"{label}: audio {lag * 1e3:.2f} ms")


@lru_cache(maxsize=1)
def _whole_decode(path: Path) -> dict[bytes, int]:
    """Return the number of each frame of a decode from the start, by its content.

    Of a file that only names an old encoder, the decoder makes other frames than were encoded.
    """
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1  # with more threads, undecodable parts differ
        frames = [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)]
    return {image: number for number, image in enumerate(frames)}


def _true_times(specimen: Specimen, path: Path, frames: np.ndarray, turned: bool) -> list[float | None]:
    if turned:
        frames = np.rot90(frames, 1, axes=(2, 3))
    width, height = specimen.size
    if frames.shape[2:] != (height, width):
        return [None] * frames.shape[1]
    times = specimen.times_s
    if specimen.fault == "old x264":
        known = _whole_decode(path)
        shown = np.ascontiguousarray(frames.transpose(1, 2, 3, 0), np.uint8)
        return [times[known[image.tobytes()]] if image.tobytes() in known else None for image in shown]
    return [times[number] if 0 <= number < len(times) else None for number in numbers_of(frames)]


def check_ours(specimen: Specimen, path: Path) -> Errors:
    """Measure this package's reader, inside the file and past its end."""
    errors = Errors()
    with MediaFile(str(path)) as media:
        end_s = media.seconds
    errors.length_s = end_s - (SECONDS if not specimen.uneven else specimen.times_s[-1] + 1 / specimen.fps)
    windows: list[tuple[float, float, AtEnd]] = [(start, CLIP_S, "pad") for start in INSIDE_S]
    for at, (start, seconds, at_end) in enumerate((*windows, *BEYOND)):
        label = f"{start} + {seconds} s, {at_end}"
        rate = _OTHER_RATE_HZ if at % 2 else specimen.rate_hz
        request = ClipRequest(Window(start, seconds, at_end), round(seconds * 16), 16.0, rate)
        try:
            clip = read(str(path), {"clip": request})["clip"]
        except UnreadableClip as error:
            errors.failure = errors.failure or str(error)
            continue
        _note_ours(errors, specimen, path, request, clip, label, end_s)
    return errors


def _note_ours(
    errors: Errors, specimen: Specimen, path: Path, request: ClipRequest, clip: Clip, label: str, end_s: float
) -> None:
    window, times = request.window, np.array(specimen.times_s)
    last_s = end_s - window.seconds if window.at_end == "shift" else window.start_s
    start = max(0.0, min(window.start_s, last_s))
    wanted = start + np.arange(request.frames) / request.fps
    if window.at_end == "loop":
        wanted = wanted % end_s
    got = _true_times(specimen, path, clip.frames.numpy(), specimen.turned)
    errors.note_frames(label, got, [_belongs(times, w, g) for w, g in zip(wanted, got, strict=True)])
    rate = request.audio_rate_hz or 0
    if len(clip.audio) != request.audio_samples:
        errors.failure = f"{len(clip.audio)} samples, {request.audio_samples} were asked for"
    waveform = np.arange(request.audio_samples) / rate + start
    for first, last, at in _pieces(waveform, specimen, end_s, loop=window.at_end == "loop"):
        errors.note_audio(f"{label} from {at:.2f}", clip.audio.numpy()[first:last], at, rate)


def _belongs(times: np.ndarray, wanted_s: float, got_s: float | None) -> float:
    """Return the time of the frame nearest to a wanted time; of two as near, the one that came."""
    nearest = float(times[np.argmin(np.abs(times - wanted_s))])
    if got_s is not None and abs(got_s - wanted_s) <= abs(nearest - wanted_s) + _ROUNDED_S:
        return got_s
    return nearest


def _pieces(audio_s: np.ndarray, specimen: Specimen, end_s: float, *, loop: bool) -> Iterable[tuple[int, int, float]]:
    """Yield (first, last, time) of the stretches of a window that lie inside the file, away from its ends."""
    low = max(0.0, specimen.audio_start_s - specimen.video_start_s) + _EDGE_S
    high = min(end_s, specimen.audio_start_s - specimen.video_start_s + SECONDS) - _EDGE_S
    cycles = range(int(audio_s[-1] / end_s) + 1) if loop else range(1)
    for cycle in cycles:
        inside = np.flatnonzero((audio_s - cycle * end_s >= low) & (audio_s - cycle * end_s < high))
        if len(inside) > 0.1 * len(audio_s) and (audio_s[inside[-1]] - audio_s[inside[0]]) > 0.08:
            yield int(inside[0]), int(inside[-1]) + 1, float(audio_s[inside[0]]) - cycle * end_s


def check_pytorchvideo(specimen: Specimen, path: Path) -> Errors:
    """Measure pytorchvideo's PyAV reader by its own contract, the frames and audio in [start, end).

    Charitably: windows inside the file only, the sample rate given, packed channels separated.
    """
    errors = Errors()
    times = specimen.times_s
    with av.open(str(path)) as container:
        context = container.streams.audio[0].codec_context
        rate, channels = context.sample_rate, context.layout.nb_channels
        packed = not context.format.is_planar and channels > 1
    for start in INSIDE_S:
        label = f"{start} + {CLIP_S} s"
        belong = [time for time in times if start <= time < start + CLIP_S]
        found: dict[str, np.ndarray | None] = {"video": None, "audio": None}
        try:
            with path.open("rb") as file:
                video = EncodedVideoPyAV(file, path.name)
                clip = video.get_clip(start, start + CLIP_S)
                found = {kind: None if clip[kind] is None else clip[kind].numpy() for kind in found}
                video.close()
        except Exception as error:  # noqa: BLE001 - whatever it raises is its result
            errors.failure = errors.failure or f"{type(error).__name__}: {error}"
        frames, audio = found["video"], found["audio"]
        turned = specimen.turned and frames is not None and frames.shape[2] == specimen.size[0]
        if specimen.turned and not turned:
            errors.remark = "not turned"
        errors.note_frames(label, [] if frames is None else _true_times(specimen, path, frames, turned), belong)
        late_s = max(0.0, specimen.audio_start_s - specimen.video_start_s - start)
        waveform = np.zeros(0, np.float32) if audio is None else audio.reshape(-1)
        if packed:
            waveform = waveform[: len(waveform) // channels * channels].reshape(-1, channels).mean(axis=1)
        if late_s < CLIP_S / 2:
            errors.note_audio(label, waveform, start + late_s, rate)
    return errors
