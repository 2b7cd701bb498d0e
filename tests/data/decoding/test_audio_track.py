import av
import numpy as np
import pytest
from made_media import lag_seconds, make_media, sweep
from reading import one

from stica_pv.errors import UnreadableClip


@pytest.mark.parametrize(
    ("sample_format", "codec"), [("u8", "pcm_u8"), ("s16", "pcm_s16le"), ("s32", "pcm_s32le"), ("flt", "pcm_f32le")]
)
def test_sample_formats_become_floats_in_one(folder, sample_format, codec):
    path = make_media(folder / f"{codec}.wav", video=None, audio=codec, rate_hz=8000, seconds=1.0)
    audio = one(path, 0.0, 1.0, 0, 0.0, 8000).audio.numpy()
    assert np.abs(audio - sweep(np.arange(8000) / 8000)).max() < (0.02 if codec == "pcm_u8" else 1e-3)


def test_samples_of_64_bits_that_pyav_has_no_array_for_are_read_too(tmp_path):
    path = tmp_path / "long.wav"
    wave = np.sin(2 * np.pi * 300 * np.arange(8000) / 8000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s64le", rate=8000, layout="mono")
        stream.format = "s64"
        frame = av.AudioFrame.from_ndarray((wave[None] * 2**30).astype(np.int32), format="s32", layout="mono")
        frame.sample_rate = 8000
        for wide in av.AudioResampler("s64", "mono", 8000).resample(frame):
            container.mux(stream.encode(wide))
    audio = one(path, 0.0, 0.9, 0, 0.0, 8000).audio.numpy()
    assert np.abs(audio - wave[:7200] / 2).max() < 1e-5


def test_mono_is_the_mean_of_the_channels(tmp_path):
    path = tmp_path / "two.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.array([[8000, -2000] * 4000], np.int16), format="s16", layout="stereo")
        frame.sample_rate = 8000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert one(path, 0.1, 0.2, 0, 0.0, 8000).audio.tolist() == pytest.approx([3000 / 32768] * 1600, abs=1e-4)


@pytest.mark.parametrize(("layout", "channels"), [("5.1", 6), ("7.1", 8), ("hexadecagonal", 16)])
def test_many_planar_channels_are_read_without_harm(tmp_path, layout, channels):
    path = tmp_path / "many.mkv"
    weights = np.linspace(0.1, 0.8, channels, dtype=np.float32)
    samples = (np.sin(2 * np.pi * 300 * np.arange(24000) / 24000)[:, None] * weights * 32767).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus" if channels == 8 else "wavpack", rate=24000, layout=layout)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = 24000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    audio = one(path, 0.2, 0.5, 0, 0.0, 24000).audio.numpy()
    assert np.abs(audio).max() == pytest.approx(weights.mean(), rel=0.1)


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_resampled_audio_has_no_delay_and_exact_length(clip_mp4, rate):
    audio = one(clip_mp4, 1.2345, 1.0001, 0, 0.0, rate).audio.numpy()
    assert len(audio) == round(1.0001 * rate)
    assert abs(lag_seconds(audio, 1.2345, rate)) <= 1.0 / rate
    truth = sweep(1.2345 + np.arange(len(audio)) / rate)
    assert np.abs(audio - truth).max() < 0.1


def test_audio_that_ends_early_is_followed_by_silence(folder):
    path = make_media(folder / "early.mp4", audio_seconds=2.0)
    assert one(path, 1.5, 1.0, 2, 2.0, 16000).audio_valid == pytest.approx(0.5, abs=0.03)
    late = one(path, 2.8, 1.0, 2, 2.0, 16000)
    assert late.audio_valid == 0.0
    assert late.audio.shape == (16000,)


def test_file_without_audio_gives_silence(folder):
    path = make_media(folder / "mute.mp4", audio=None)
    for frames in (2, 0):
        clip = one(path, 0.0, 1.0, frames, 2.0, 16000)
        assert clip.audio.shape == (16000,)
        assert clip.audio_valid == 0.0


def test_file_of_audio_alone_starts_its_clock_with_the_audio(folder):
    path = make_media(folder / "audio.ogg", video=None, audio="libopus", rate_hz=48000, seconds=3.0)
    assert abs(lag_seconds(one(path, 1.0, 1.0, 0, 0.0, 24000).audio.numpy(), 1.0, 24000)) < 1e-3
    with pytest.raises(UnreadableClip, match="no video stream"):
        one(path, 0.0, 1.0, 1, 1.0)
