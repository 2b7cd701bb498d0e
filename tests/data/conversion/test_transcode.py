import ctypes
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from made_media import SAMPLE_DATA, lag_seconds, make_media, numbers_of
from reading import one

from stica_pv.data.conversion import transcode as module
from stica_pv.data.conversion.batch_convert import Conversion, convert_files, plan_conversion
from stica_pv.data.conversion.transcode import TranscodeSettings, transcode
from stica_pv.data.manifest.manifest import probe
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.structures import Clip

SETTINGS = TranscodeSettings()
RATE_HZ = SETTINGS.audio_rate_hz

KINDS = {
    "plain.mp4": {},
    "b-frames.mp4": {"options": {"bf": "3"}},
    "audio later.mp4": {"audio_start_s": 0.7, "audio_seconds": 3.0},
    "audio later.mkv": {"audio_start_s": 0.7, "audio_seconds": 3.0},
    "frame later.mp4": {"video_start_s": 0.48},
    "both later.mkv": {"video_start_s": 1.0, "audio_start_s": 1.3},
    "mp3.avi": {"video": "mpeg4", "audio": "mp3"},
    "mp2.mpg": {"video": "mpeg2video", "audio": "mp2"},
    "opus.webm": {"video": "libvpx", "audio": "libopus", "rate_hz": 48000},
    "pcm.mov": {"audio": "pcm_s16le", "rate_hz": 24000, "layout": "mono"},
    "odd fps.mp4": {"fps": 7},
}


def copied(source: Path, settings: TranscodeSettings = SETTINGS) -> Path:
    target = source.parent / "copy" / f"{source.name}.mp4"
    transcode(str(source), target, settings)
    assert [path.name for path in target.parent.iterdir() if path.name.endswith(".partial")] == []
    return target


def both(source: Path, target: Path, start: float, frames: int = 20, rate: int | None = RATE_HZ) -> tuple[Clip, Clip]:
    first, second = (one(path, start, 1.0, frames, 20.0, rate, at_end="pad") for path in (source, target))
    return first, second


@pytest.mark.parametrize("name", KINDS)
def test_frame_and_audio_keep_their_times(name: str, tmp_path: Path):
    source = make_media(tmp_path / name, **KINDS[name])
    target = copied(source)
    for start in (0.0, 1.0, 2.52):
        before, after = both(source, target, start)
        assert (before.frame_times_s - after.frame_times_s).abs().max() < 1e-4
        assert numbers_of(before.frames.numpy()) == numbers_of(after.frames.numpy())
        lags = [lag_seconds(clip.audio.numpy(), start, RATE_HZ) for clip in (before, after)]
        assert abs(lags[0] - lags[1]) < 1.5e-3
        assert after.audio_valid == pytest.approx(before.audio_valid, abs=0.05)


def test_the_copy_lasts_as_long_as_the_file(tmp_path: Path):
    source = make_media(tmp_path / "a.mp4", seconds=3.4)
    before, after = probe(str(source)), probe(str(copied(source)))
    assert after.video_seconds == pytest.approx(before.video_seconds, abs=1e-3)
    assert after.audio_seconds == pytest.approx(before.audio_seconds, abs=0.05)


def test_the_copy_is_what_the_settings_say(tmp_path: Path):
    source = make_media(tmp_path / "a.mkv", size=(200, 150), seconds=2.0)
    settings = TranscodeSettings(short_side=96, gop=5, crf=30, audio_rate_hz=16000)
    target = copied(source, settings)
    facts = probe(str(target))
    assert (facts.width, facts.height, facts.video_codec) == (128, 96, "h264")
    assert (facts.audio_codec, facts.audio_rate_hz, facts.audio_channels) == ("aac", 16000, 1)
    with av.open(str(target)) as container:
        keys = [i for i, packet in enumerate(container.demux(video=0)) if packet.size and packet.is_keyframe]
    assert 2 <= max(np.diff([*keys, 50])) <= 5  # x264 sets more where frames change


@pytest.mark.parametrize("codec", ["libx264", "h264"])
@pytest.mark.parametrize("fast", [True, False])
def test_the_copy_leaves_out_what_is_slow_to_decode_unless_set_otherwise(codec: str, fast: bool, tmp_path: Path):
    source = make_media(tmp_path / "a.mkv", seconds=1.0, audio=None)
    written = copied(source, TranscodeSettings(codec=codec, fast_decoding=fast)).read_bytes()
    assert b"cabac=" in written  # x264 writes its options into the file
    assert (b"cabac=0" in written) == fast
    assert (b"deblock=0" in written) == fast


@pytest.mark.parametrize(("size", "expected"), [((66, 51), (66, 50)), ((40, 30), (40, 30)), ((331, 200), (212, 128))])
def test_small_frames_are_not_enlarged_and_sides_become_even(size, expected, tmp_path: Path):
    facts = probe(str(copied(make_media(tmp_path / "a.mkv", video="ffv1", size=size, seconds=0.4, audio=None))))
    assert (facts.width, facts.height) == expected


def test_a_file_without_frame_or_without_audio_stays_so(tmp_path: Path):
    silent = probe(str(copied(make_media(tmp_path / "silent.mp4", audio=None, seconds=1.0))))
    dark = probe(str(copied(make_media(tmp_path / "dark.mp4", video=None, seconds=1.0))))
    assert (silent.video_codec, silent.audio_codec) == ("h264", "")
    assert (dark.video_codec, dark.audio_codec) == ("", "aac")


def test_a_gap_in_the_audio_becomes_silence(tmp_path: Path):
    source = tmp_path / "gap.mkv"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for begin in (*range(0, 8000, 800), *range(16000, 24000, 800)):
            frame = av.AudioFrame.from_ndarray(np.full((1, 800), 8000, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 8000, begin
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = one(copied(source), 0.0, 3.0, 0, 0.0, 8000, at_end="pad")
    level = clip.audio.unflatten(0, (30, 800)).abs().mean(dim=1)
    assert level[11:19].max() < 0.01
    assert torch.cat([level[1:9], level[21:29]]).min() > 0.2


@pytest.mark.parametrize("content", [b"", b"no media at all" * 99])
def test_a_bad_file_gives_its_cause_and_leaves_nothing(content: bytes, tmp_path: Path):
    (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(UnreadableClip, match=r"bad.mp4: (the file is empty|invalid data)"):
        transcode(str(tmp_path / "bad.mp4"), tmp_path / "copy" / "bad.mp4", SETTINGS)
    assert list((tmp_path / "copy").iterdir()) == []


def test_a_file_cut_short_is_a_failure_that_says_where_it_ends(tmp_path: Path):
    source = make_media(tmp_path / "a.mp4", container_options={"movflags": "faststart"})
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(UnreadableClip, match=r"video ends at \d\.\d s, the header says 4.0 s"):
        transcode(str(source), tmp_path / "copy" / "a.mp4", SETTINGS)
    assert list((tmp_path / "copy").iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"codec": "libx999"}, "no encoder 'libx999'"),
        ({"codec": "aac"}, "encodes audio"),
        ({"codec": "mpeg4"}, "'mpeg4' cannot write yuv420p at a time base of 90000 Hz"),
        ({"crf": -1}, "crf"),
        ({"audio_rate_hz": 12345}, "AAC does not support 12345"),
        ({"gop": 0}, "gop"),
    ],
)
def test_impossible_settings_are_refused(wrong: dict, message: str):
    with pytest.raises(UsageError, match=message):
        TranscodeSettings(**wrong)


def hang(*_: object) -> None:
    """Stands for an encoder that hangs in its own code and holds the interpreter."""
    ctypes.PyDLL(None).pause()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the encoder is opened in this process")
def test_an_encoder_that_hangs_when_it_is_opened_is_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_OPEN_LIMIT_S", 0.2)
    monkeypatch.setattr(module, "_frame_stream", hang)
    with pytest.raises(UsageError, match=r"codec: 'libx264' cannot be opened \(time-out after 0.2 s\); try libx264"):
        TranscodeSettings()


def transcode_with_hanging_encoder(source: str, target: Path, settings: TranscodeSettings) -> None:
    if source.endswith("hangs.mp4"):
        module._frame_stream = hang  # of a process of its own
    transcode(source, target, settings)


@pytest.mark.slow
def test_an_encoder_that_hangs_costs_one_file_and_is_named(tmp_path: Path):
    for name in ("hangs.mp4", "fine.mp4"):
        (tmp_path / "set").mkdir(exist_ok=True)
        make_media(tmp_path / "set" / name, seconds=0.4)
    conversion = Conversion("transcode", ".mp4", transcode_with_hanging_encoder)
    plan = plan_conversion(str(tmp_path / "set"), str(tmp_path / "copy"), conversion=conversion)
    report = convert_files(plan, SETTINGS, processes=2, limit_s=5)
    assert report.copied == ("fine.mp4",)
    assert report.failures == {"hangs.mp4": "time-out after 5 s"}
    assert not list((tmp_path / "copy").glob("*.partial"))


@pytest.mark.skipif(not SAMPLE_DATA.is_dir(), reason=f"no real sample data at {SAMPLE_DATA}")
@pytest.mark.parametrize("name", ["video_90.mov", "v_Surfing_g22_c03.avi", "small.mp4", "dash-video-with-dash-.mp4"])
def test_real_files_keep_their_frames_and_audio_at_the_same_time(name: str, tmp_path: Path):
    source = SAMPLE_DATA / "media" / name
    transcode(str(source), tmp_path / "a.mp4", SETTINGS)
    before = one(source, 0.0, 1.0, 8, 8.0, RATE_HZ, at_end="pad", short_size=128)
    after = one(tmp_path / "a.mp4", 0.0, 1.0, 8, 8.0, RATE_HZ, at_end="pad")
    assert (before.frame_times_s - after.frame_times_s).abs().max() < 1e-3
    size = before.frames.shape[2:]  # at most one pixel from even, and upright
    assert max(abs(a - b) for a, b in zip(size, after.frames.shape[2:], strict=True)) <= 1
    resized = torch.nn.functional.interpolate(after.frames.transpose(0, 1).float(), size=size).transpose(0, 1)
    assert (before.frames.float() - resized).abs().mean() < 8
    if before.audio_valid:
        spectra = [np.fft.rfft(clip.audio.numpy(), 2 * RATE_HZ) for clip in (before, after)]
        lag = int(np.argmax(np.fft.irfft(spectra[1] * spectra[0].conj())))
        assert min(lag, 2 * RATE_HZ - lag) / RATE_HZ < 1e-3
