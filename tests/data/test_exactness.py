import sys
from pathlib import Path

import numpy as np
import pytest
from made_media import SAMPLE_DATA
from reading import one

from stica_pv.data.audio_track import mono
from stica_pv.data.container import open_container
from stica_pv.data.media_file import MediaFile

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))

from reader_check import matrix, measure, signals, specimens  # noqa: E402

MEDIA = SAMPLE_DATA / "media"
FULL_DECODES = ["small.mp4", "h265_video.mp4", "video_02542.mp4", "av1_video.mkv", "clip1024.flv", "no_duration.webm"]

OFF = {("avi", "mpeg4", "B-frames"), ("avi", "libx264", "B-frames"), ("avi", "libx264", "")}
"""AVI stores no presentation times; with B-frames, and for H.264, FFmpeg's guess is some pictures off."""


def check(specimen, folder):
    if not specimens.can_write(specimen):
        pytest.skip(f"no encoder {specimen.video} or {specimen.audio} here")
    errors = measure.check_ours(specimen, specimens.write(specimen, folder))
    assert errors.good, errors.details


@pytest.mark.parametrize("specimen", matrix.FEW, ids=lambda specimen: specimen.name)
def test_each_kind_of_file_is_read_exactly(specimen, tmp_path):
    check(specimen, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("specimen", matrix.ALL, ids=lambda specimen: specimen.name)
def test_every_container_codec_and_property_is_read_exactly(specimen, tmp_path):
    if (specimen.container, specimen.video, specimen.note) in OFF:
        pytest.skip("AVI stores no presentation times: documented")
    check(specimen, tmp_path)


def test_the_measure_finds_a_lag_of_a_fifth_of_a_millisecond():
    times = 1.0 + 0.0002 + np.arange(8000) / 16000
    assert signals.lag_seconds(signals.sound_at(times), 1.0, 16000) == pytest.approx(-0.0002, abs=1e-5)
    assert signals.lag_seconds(np.random.default_rng(0).normal(size=8000).astype(np.float32), 1.0, 16000) is None


def test_the_measure_finds_a_wrong_picture():
    errors = measure.Errors()
    errors.note_pictures("x", [0.0, 0.08], [0.0, 0.04])
    assert (errors.wrong, round(errors.picture_s, 6), errors.good) == (1, 0.04, False)


def full_decode(path):
    """Returns the times of all pictures, and all sound on the file's clock (with its first sample's time and rate)."""
    with MediaFile(str(path)) as media:
        origin = media.origin_s
    with open_container(str(path)) as container:
        times = sorted(
            float(frame.pts * frame.time_base) - origin for frame in container.decode(video=0) if frame.pts is not None
        )
    if not container_has_sound(path):
        return np.array(times), None
    with open_container(str(path)) as container:
        frames = [frame for frame in container.decode(audio=0) if frame.pts is not None]
        start = float(frames[0].pts * frames[0].time_base) - origin
        return np.array(times), (start, frames[0].sample_rate, np.concatenate([mono(frame) for frame in frames]))


def container_has_sound(path):
    with open_container(str(path)) as container:
        return bool(container.streams.audio)


@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"no real sample data at {MEDIA}")
@pytest.mark.parametrize("name", FULL_DECODES)
def test_real_files_give_what_a_full_decode_gives(name):
    times, sound = full_decode(MEDIA / name)
    start = round(float(times[len(times) // 3]), 2) + 0.007
    clip = one(MEDIA / name, start, 1.0, 7, 7.0, sound[1] if sound else None, at_end="pad", short_size=16)
    wanted = start + np.arange(7) / 7
    got = np.array([np.abs(times - w).min() for w in wanted])
    assert np.abs(clip.frame_times_s.numpy() - wanted) == pytest.approx(got, abs=1e-6)
    if sound:
        first = round((start - sound[0]) * sound[1])
        whole = sound[2][first : first + len(clip.audio)]
        apart = np.abs(clip.audio.numpy()[: len(whole)] - whole)
        assert apart.mean() <= 0.02 * np.abs(whole).mean() + 1e-6  # lossy decoders start from another state
