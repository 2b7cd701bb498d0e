"""Files for the loader benchmark: a user's or generated ones, also in the format of UCF-101's originals."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from stica_pv.data.conversion.transcode import TranscodeSettings, transcode
from stica_pv.data.sources.media_folder import media_files
from stica_pv.data.synthetic.plan import SyntheticSettings
from stica_pv.data.synthetic.render import render_clip
from stica_pv.data.synthetic.write import write_clip
from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator

GENERATED = SyntheticSettings(seconds=7.0, fps=25, size=128, image_noise=(4.0, 8.0))
"""Length of a clip of UCF-101, with camera noise."""

ORIGINAL_SIZE, ORIGINAL_FPS, ORIGINAL_BIT_RATE, ORIGINAL_GOP, B_FRAMES = (320, 240), 25, 270_000, 300, 2
AUDIO_RATE_HZ, AUDIO_BIT_RATE = 44_100, 128_000


def chosen_files(folder: str, count: int) -> list[str]:
    """Returns files taken evenly from a folder.

    Raises:
        UsageError: It holds none.
    """
    files = media_files(folder)
    if not files:
        raise UsageError(f"--data {folder}: expected a folder with videos, found none")
    return [files[index * len(files) // min(count, len(files))] for index in range(min(count, len(files)))]


def generate(folder: Path, count: int) -> list[str]:
    """Generates clips in a folder."""
    paths = [folder / f"{number:03}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        frames, audio = render_clip(number % len(GENERATED.classes), generator("benchmark", number), GENERATED)
        write_clip(path, frames, audio, fps=GENERATED.fps, audio_rate_hz=GENERATED.audio_rate_hz)
    return [str(path) for path in paths]


def as_originals(paths: list[str], folder: Path) -> list[str]:
    """Encodes files like UCF-101's: AVI, 320 x 240 MPEG-4 with B-frames and few key frames, MP3 in stereo."""
    written = [folder / f"{number:03}.avi" for number in range(len(paths))]
    for source, target in zip(paths, written, strict=True):
        with av.open(source) as given, av.open(str(target), "w") as made:
            _encode(given, made)
    return [str(path) for path in written]


def low_res_copies(paths: list[str], folder: Path) -> list[str]:
    """Transcodes files with the defaults of `stica-pv transcode`."""
    written = [folder / f"{number:03}.mp4" for number in range(len(paths))]
    for source, target in zip(paths, written, strict=True):
        transcode(source, target, TranscodeSettings())
    return [str(path) for path in written]


def _encode(given: Any, made: Any) -> None:
    video = made.add_stream("mpeg4", rate=ORIGINAL_FPS, options={"bf": str(B_FRAMES), "g": str(ORIGINAL_GOP)})
    (video.width, video.height), video.pix_fmt, video.bit_rate = ORIGINAL_SIZE, "yuv420p", ORIGINAL_BIT_RATE
    audio = made.add_stream("libmp3lame", rate=AUDIO_RATE_HZ, layout="stereo")
    audio.bit_rate = AUDIO_BIT_RATE
    resampler = av.AudioResampler("s16p", "stereo", AUDIO_RATE_HZ)
    shown = 0
    for frame in given.decode(*given.streams.video[:1], *given.streams.audio[:1]):
        if isinstance(frame, av.VideoFrame):
            output = frame.reformat(*ORIGINAL_SIZE, "yuv420p")
            output.pts, output.time_base, output.pict_type = shown, Fraction(1, ORIGINAL_FPS), 0
            shown += 1
            made.mux(video.encode(output))
        else:
            for part in _unstamped(resampler.resample(frame)):
                made.mux(audio.encode(part))
    for part in _unstamped(resampler.resample(None)):
        made.mux(audio.encode(part))
    made.mux(video.encode(None))
    made.mux(audio.encode(None))


def _unstamped(frames: list[Any]) -> Iterator[Any]:
    for frame in frames:
        frame.pts = None  # set by the encoder
        yield frame
