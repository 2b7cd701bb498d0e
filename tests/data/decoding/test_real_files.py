"""Windows of real files against a plain decode of the whole file: the same frames bit for bit, the same audio."""

import random
from pathlib import Path

import numpy as np
import pytest
from full_decode import FullDecode, full_decode
from made_media import SAMPLE_DATA
from reading import one

MEDIA, ACTIONS = SAMPLE_DATA / "media", SAMPLE_DATA / "ucf6-av" / "videos"
QUICK = ["small.mp4", "h265_video.mp4", "clip1024.flv", "v_Surfing_g22_c03.avi", "bbaf2n.mpg", "video_90.mov"]

CONCEALED = {"corrupted.mp4"}
"""Damaged frames are filled in from those decoded before, so they depend on where decoding begins."""

MOVED_S = {"skateboarding_dog.mp4": 0.024}
"""The one frame of audio before a gap is taken for wrongly stamped, and joined to the next one: it is silent."""

LOSSY = 0.02
"""Largest difference of the audio, as a share of its mean size: lossy decoders start from another state."""

NOISE = 0.25
"""The same with noise substitution (AAC): the decoder makes up noise, another one where it begins elsewhere."""


def real_files() -> list[Path]:
    return [path for path in sorted(MEDIA.iterdir()) if path.suffix != ".csv"] if MEDIA.is_dir() else []


def some_actions(count: int = 12) -> list[Path]:
    found = sorted(ACTIONS.rglob("*.mp4")) if ACTIONS.is_dir() else []
    return random.Random(0).sample(found, count) if found else []


def check(path: Path, lossy: float) -> None:
    whole = full_decode(path)
    for start in (0.0, whole.seconds / 3 + 0.007, 0.71 * whole.seconds):
        seconds = min(1.0, max(0.1, whole.seconds / 3))
        frames = 7 if len(whole.times_s) else 0
        clip = one(path, start, seconds, frames, 7 / seconds, whole.rate_hz or None, at_end="pad")
        if frames:
            check_frames(whole, clip, start + np.arange(frames) * seconds / frames, path.name not in CONCEALED)
        if whole.rate_hz:
            check_audio(whole, clip, start, lossy, MOVED_S.get(path.name, 0.0))


def check_frames(whole: FullDecode, clip, wanted: np.ndarray, same: bool) -> None:
    nearest = np.abs(whole.times_s[None] - wanted[:, None]).min(axis=1)
    assert np.abs(clip.frame_times_s.numpy() - wanted) == pytest.approx(nearest, abs=1e-6)
    for at, time in enumerate(clip.frame_times_s.numpy() if same else ()):
        expected = whole.frames[int(np.argmin(np.abs(whole.times_s - time)))]
        np.testing.assert_array_equal(clip.frames[:, at].permute(1, 2, 0).numpy(), expected)  # exact: integers


def check_audio(whole: FullDecode, clip, start: float, lossy: float, moved_s: float) -> None:
    audio = clip.audio.numpy().astype(np.float64)
    most = round(1e-3 * whole.rate_hz)  # Matroska's whole milliseconds leave up to half of one open
    differences = {}
    for lag in range(-most, most + 1):
        expected, present = whole.audio_between(start + lag / whole.rate_hz, len(audio))
        differences[lag] = np.abs(audio - expected).mean() / (np.abs(expected).mean() + 1e-4)
        if lag == 0:
            assert clip.audio_valid == pytest.approx(present.mean(), abs=0.002 + moved_s / clip_seconds(clip))
    best = min(differences, key=lambda lag: (differences[lag], abs(lag)))
    assert differences[best] <= lossy
    assert lossy == LOSSY or best == 0  # where the samples differ, the place must not


def clip_seconds(clip) -> float:
    return len(clip.audio) / clip.audio_rate_hz


@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"no real sample data at {MEDIA}")
@pytest.mark.parametrize("name", QUICK)
def test_some_real_files_give_what_a_full_decode_gives(name: str):
    check(MEDIA / name, LOSSY)


@pytest.mark.slow
@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"no real sample data at {MEDIA}")
@pytest.mark.parametrize("path", real_files(), ids=lambda path: path.name)
def test_every_real_file_gives_what_a_full_decode_gives(path: Path):
    check(path, LOSSY)


@pytest.mark.slow
@pytest.mark.skipif(not ACTIONS.is_dir(), reason=f"no real sample data at {ACTIONS}")
@pytest.mark.parametrize("path", some_actions(), ids=lambda path: path.name)
def test_files_with_noise_substitution_keep_every_frame_and_the_place_of_the_audio(path: Path):
    check(path, NOISE)
