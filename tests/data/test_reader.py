import math
import pickle
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from made_media import SAMPLE_DATA, lag_seconds, make_media, numbers_of, sweep

from stica_pv.data import media_file
from stica_pv.data.reader import read
from stica_pv.errors import UnreadableClip
from stica_pv.structures import Clip, ClipRequest, Window

FPS = 25
MEDIA = SAMPLE_DATA / "media"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def clip_mp4(folder: Path) -> Path:
    return make_media(folder / "b-frames.mp4", options={"bf": "3"}, container_options={"movflags": "faststart"})


def one(path: Path, start: float, seconds: float, frames: int, fps: float, rate: int | None = None, **kwargs) -> Clip:
    at_end = kwargs.pop("at_end", "shift")
    return read(str(path), {"w": ClipRequest(Window(start, seconds, at_end), frames, fps, rate)}, **kwargs)["w"]


def nearest_numbers(start: float, frames: int, fps: float) -> list[int]:
    return [math.ceil(round((start + i / fps) * FPS, 6) - 0.5) for i in range(frames)]


@pytest.mark.parametrize(
    ("name", "video", "audio", "rate", "options"),
    [
        ("a.mp4", "libx264", "aac", 44100, {"bf": "3", "g": "12"}),
        ("b.mkv", "libx264", "aac", 48000, {"bf": "2", "x264-params": "open-gop=1"}),
        ("c.avi", "mpeg4", "pcm_s16le", 22050, {"bf": "0"}),
        ("d.webm", "libvpx-vp9", "libopus", 48000, {"deadline": "realtime", "cpu-used": "8"}),
        ("e.mpg", "mpeg1video", "mp2", 44100, {"bf": "2"}),
        ("f.mov", "mpeg4", "pcm_s16le", 16000, {"bf": "2"}),
        ("g.ts", "libx264", "mp2", 48000, {"bf": "2"}),
        ("h.flv", "flv", "libmp3lame", 44100, {}),
    ],
)
def test_pictures_and_sound_stand_where_they_belong(folder, name, video, audio, rate, options):
    path = make_media(folder / name, video=video, audio=audio, rate_hz=rate, options=options)
    for start in (0.0, 0.97, 1.9, 2.51, 3.3):
        clip = one(path, start, 0.5, 5, 10.0, rate, at_end="pad")
        wanted = nearest_numbers(start, 5, 10.0)
        assert numbers_of(clip.frames.numpy()) == wanted
        assert clip.frame_times_s.tolist() == pytest.approx([n / FPS for n in wanted], abs=1e-3)
        assert clip.audio.shape == (round(0.5 * rate),)
        assert abs(lag_seconds(clip.audio.numpy(), start, rate)) < 1e-3
        assert clip.video_valid == 1.0
        assert clip.audio_valid > 0.998


def test_pictures_of_avi_with_b_frames_come_in_order(folder):
    path = make_media(folder / "b-frames.avi", video="mpeg4", audio="libmp3lame", options={"bf": "2"})
    assert numbers_of(one(path, 1.0, 0.8, 20, 25.0).frames.numpy()) == list(range(25, 45))


def test_nearest_takes_the_earlier_of_two_and_previous_never_the_later(clip_mp4):
    # Wanted: 0.10 (between 2 and 3), 0.19, 0.28, 0.37 s.
    assert numbers_of(one(clip_mp4, 0.1, 0.36, 4, 1 / 0.09).frames.numpy()) == [2, 5, 7, 9]
    previous = one(clip_mp4, 0.1, 0.36, 4, 1 / 0.09, frame_choice="previous")
    assert numbers_of(previous.frames.numpy()) == [2, 4, 7, 9]


@pytest.mark.parametrize("frame_choice", ["nearest", "previous"])
def test_a_wanted_time_on_a_frame_gives_that_frame(clip_mp4, frame_choice):
    clip = one(clip_mp4, 1.04, 1.0, 25, 25.0, frame_choice=frame_choice)
    assert numbers_of(clip.frames.numpy()) == list(range(26, 51))


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_resampled_sound_has_no_delay_and_exact_length(clip_mp4, rate):
    audio = one(clip_mp4, 1.2345, 1.0001, 0, 0.0, rate).audio.numpy()
    assert len(audio) == round(1.0001 * rate)
    assert abs(lag_seconds(audio, 1.2345, rate)) <= 1.0 / rate
    truth = sweep(1.2345 + np.arange(len(audio)) / rate)
    assert np.abs(audio - truth).max() < 0.1


def test_sound_alone_decodes_no_picture(clip_mp4, monkeypatch):
    monkeypatch.setattr("stica_pv.data.reader.decode_pictures", None)
    clip = one(clip_mp4, 1.0, 1.0, 0, 0.0, 16000)
    assert clip.frames.shape == (3, 0, 0, 0)
    assert clip.frame_times_s.shape == (0,)
    assert clip.audio_valid == 1.0


def test_overlapping_windows_take_one_pass_and_distant_ones_a_seek_each(folder, monkeypatch):
    path = make_media(folder / "long.mp4", seconds=9.0)
    passes = []
    inner = media_file.MediaFile.packets
    monkeypatch.setattr(
        media_file.MediaFile, "packets", lambda self, *args: passes.append(args[0]) or inner(self, *args)
    )
    windows = {"a": (2.0, 1.0), "b": (2.5, 1.0), "c": (3.8, 0.5), "d": (7.0, 1.0)}
    requests = {name: ClipRequest(Window(*window), 4, 8.0, 16000) for name, window in windows.items()}
    clips = read(str(path), requests)
    assert len(passes) == 2
    for name, (start, seconds) in windows.items():
        alone = one(path, start, seconds, 4, 8.0, 16000)
        assert torch.equal(clips[name].frames, alone.frames)
        assert abs(lag_seconds(clips[name].audio.numpy(), start, 16000)) < 1e-3


def test_pad_repeats_the_last_picture_and_adds_silence(clip_mp4):
    clip = one(clip_mp4, 3.5, 1.0, 10, 10.0, 16000, at_end="pad")
    assert numbers_of(clip.frames.numpy()) == [87, 90, 92, 95, 97, 99, 99, 99, 99, 99]
    assert clip.video_valid == 0.5
    assert clip.audio_valid == pytest.approx(0.5, abs=0.03)
    assert clip.audio[9000:].abs().max() == 0


def test_a_padded_window_behind_the_end_holds_nothing(clip_mp4):
    clip = one(clip_mp4, 6.0, 1.0, 3, 3.0, 16000, at_end="pad")
    assert numbers_of(clip.frames.numpy()) == [99, 99, 99]
    assert (clip.video_valid, clip.audio_valid) == (0.0, 0.0)


def test_shift_moves_the_window_back_to_end_with_the_file(clip_mp4):
    clip = one(clip_mp4, 3.9, 1.0, 5, 5.0, 16000, at_end="shift")
    assert numbers_of(clip.frames.numpy()) == [75, 80, 85, 90, 95]
    assert abs(lag_seconds(clip.audio.numpy(), 3.0, 16000)) < 1e-3


def test_shift_of_a_window_longer_than_the_file_starts_at_zero_and_pads(clip_mp4):
    clip = one(clip_mp4, 1.0, 8.0, 8, 1.0, 16000, at_end="shift")
    assert numbers_of(clip.frames.numpy()) == [0, 25, 50, 75, 99, 99, 99, 99]
    assert clip.video_valid == 0.5
    assert abs(lag_seconds(clip.audio.numpy()[:32000], 0.0, 16000)) < 1e-3


def test_loop_plays_picture_and_sound_again_without_a_seam(clip_mp4):
    clip = one(clip_mp4, 3.6, 6.0, 15, 2.5, 16000, at_end="loop")
    assert numbers_of(clip.frames.numpy()) == [(90 + 10 * i) % 100 for i in range(15)]
    times = (3.6 + np.arange(96000) / 16000) % 4.0
    error = np.abs(clip.audio.numpy() - sweep(times))
    away_from_seam = np.minimum(times, 4.0 - times) > 0.1
    assert error[away_from_seam].max() < 0.1
    assert (clip.video_valid, clip.audio_valid) == (1.0, pytest.approx(1.0, abs=0.01))


def test_loop_of_a_window_many_times_the_file(folder):
    path = make_media(folder / "short.mp4", seconds=0.4)
    clip = one(path, 0.1, 3.0, 15, 5.0, 16000, at_end="loop")
    assert numbers_of(clip.frames.numpy()) == [2, 7, 2, 7, 2, 7, 2, 7, 2, 7, 2, 7, 2, 7, 2]
    assert torch.allclose(clip.audio[6400:12800], clip.audio[12800:19200], atol=0.05)


@pytest.mark.parametrize("name", ["offset.mp4", "offset.mkv"])
@pytest.mark.parametrize(("video_start", "audio_start"), [(0.0, 0.6), (0.4, 0.0)])
def test_streams_that_start_apart_share_one_clock(folder, name, video_start, audio_start):
    path = make_media(
        folder / f"{video_start}{name}", video_start_s=video_start, audio_start_s=audio_start, seconds=3.0
    )
    for start in (0.2, 1.5):
        clip = one(path, start, 1.0, 5, 5.0, 44100)
        assert numbers_of(clip.frames.numpy()) == nearest_numbers(start, 5, 5.0)
        present = max(0.0, start + 1.0 - max(start, audio_start - video_start))
        assert clip.audio_valid == pytest.approx(present, abs=0.03)
        assert abs(lag_seconds(clip.audio.numpy(), start, 44100)) < 1e-3


def test_sound_that_ends_early_is_followed_by_silence(folder):
    path = make_media(folder / "early.mp4", audio_seconds=2.0)
    assert one(path, 1.5, 1.0, 2, 2.0, 16000).audio_valid == pytest.approx(0.5, abs=0.03)
    late = one(path, 2.8, 1.0, 2, 2.0, 16000)
    assert late.audio_valid == 0.0
    assert late.audio.shape == (16000,)


def test_file_without_sound_gives_silence(folder):
    path = make_media(folder / "mute.mp4", audio=None)
    for frames in (2, 0):
        clip = one(path, 0.0, 1.0, frames, 2.0, 16000)
        assert clip.audio.shape == (16000,)
        assert clip.audio_valid == 0.0


def test_file_of_sound_alone_starts_its_clock_with_the_sound(folder):
    path = make_media(folder / "sound.ogg", video=None, audio="libopus", rate_hz=48000, seconds=3.0)
    assert abs(lag_seconds(one(path, 1.0, 1.0, 0, 0.0, 24000).audio.numpy(), 1.0, 24000)) < 1e-3
    with pytest.raises(UnreadableClip, match="no video stream"):
        one(path, 0.0, 1.0, 1, 1.0)


@pytest.mark.parametrize("size", [(64, 48), (70, 45), (200, 31), (9, 9)])
@pytest.mark.parametrize("short_size", [0, 16, 40])
def test_short_side_is_limited_and_never_enlarged(folder, size, short_size):
    path = make_media(folder / f"{size[0]}.mkv", size=size, video="ffv1", pix_fmt="yuv444p", audio=None, seconds=0.2)
    frames = one(path, 0.0, 0.1, 1, 10.0, short_size=short_size).frames
    short = min(size) if short_size == 0 else min(*size, short_size)
    assert min(frames.shape[2:]) == short
    assert frames.shape[3] / frames.shape[2] == pytest.approx(size[0] / size[1], abs=size[0] / size[1] / short)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv422p10le", "yuva420p", "gray", "bgr0"])
def test_pixel_formats_become_rgb(folder, pix_fmt):
    path = make_media(folder / f"{pix_fmt}.mkv", video="ffv1", pix_fmt=pix_fmt, audio=None, seconds=1.0)
    clip = one(path, 0.0, 1.0, 25, 25.0)
    assert numbers_of(clip.frames.numpy()) == list(range(25))
    assert clip.frames.permute(1, 2, 3, 0).is_contiguous()


@pytest.mark.parametrize(
    ("sample_format", "codec"), [("u8", "pcm_u8"), ("s16", "pcm_s16le"), ("s32", "pcm_s32le"), ("flt", "pcm_f32le")]
)
def test_sample_formats_become_floats_in_one(folder, sample_format, codec):
    path = make_media(folder / f"{codec}.wav", video=None, audio=codec, rate_hz=8000, seconds=1.0)
    audio = one(path, 0.0, 1.0, 0, 0.0, 8000).audio.numpy()
    assert np.abs(audio - sweep(np.arange(8000) / 8000)).max() < (0.02 if codec == "pcm_u8" else 1e-3)


def test_mono_is_the_mean_of_the_channels(tmp_path):
    path = tmp_path / "two.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.array([[8000, -2000] * 4000], np.int16), format="s16", layout="stereo")
        frame.sample_rate = 8000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    assert one(path, 0.1, 0.2, 0, 0.0, 8000).audio.tolist() == pytest.approx([3000 / 32768] * 1600, abs=1e-4)


def test_broken_packets_in_the_middle_are_passed_over(folder):
    path = make_media(folder / "broken.mp4", broken_frames=range(40, 43), options={"bf": "0"})
    clip = one(path, 1.0, 2.0, 8, 4.0)
    assert clip.frames.shape[1] == 8
    assert numbers_of(clip.frames[:, 5:].numpy()) == nearest_numbers(2.25, 3, 4.0)


def test_file_cut_at_60_percent_reads_until_there_and_says_where_it_ends(clip_mp4, folder):
    whole = clip_mp4.read_bytes()
    path = folder / "cut.mp4"
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    assert numbers_of(one(path, 0.5, 1.0, 5, 5.0).frames.numpy()) == nearest_numbers(0.5, 5, 5.0)
    for start in (2.2, 3.0):
        with pytest.raises(UnreadableClip, match=r"picture ends at [12]\.\d s, the header says 4\.0 s") as caught:
            one(path, start, 1.0, 5, 5.0)
    assert pickle.loads(pickle.dumps(caught.value)).path == str(path)


@pytest.mark.parametrize(
    ("content", "cause"),
    [(b"", r"empty \(0 bytes\)"), (b"\x07garbage" * 5000, "invalid data"), (None, "no such file")],
)
def test_what_is_no_media_file_is_named(tmp_path, content, cause):
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableClip, match=cause):
        one(path, 0.0, 1.0, 1, 1.0)


def test_header_at_the_end_of_a_cut_file_is_missed_by_name(folder):
    whole = make_media(folder / "slow.mp4").read_bytes()
    path = folder / "no-moov.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnreadableClip, match="moov atom not found"):
        one(path, 0.0, 1.0, 1, 1.0)


def test_file_of_which_nothing_decodes_is_unreadable(folder):
    path = make_media(folder / "noise.mp4", broken_frames=range(200), options={"bf": "0"}, audio=None)
    with pytest.raises(UnreadableClip, match="no picture can be decoded"):
        one(path, 0.0, 1.0, 1, 1.0)


@pytest.mark.parametrize("name", ["-dash.mp4", "a:b.mp4", "per%cent 01.mp4"])
def test_odd_names_are_plain_files(tmp_path, monkeypatch, name):
    make_media(tmp_path / "plain.mp4", seconds=0.4).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert one(Path(name), 0.0, 0.2, 1, 5.0).frames.shape[1] == 1


def test_containers_are_closed(clip_mp4, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(clip_mp4.read_bytes()[:3000])
    open_before = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 0
    for _ in range(5):
        one(clip_mp4, 1.0, 1.0, 2, 2.0, 16000)
        with pytest.raises(UnreadableClip):
            one(bad, 1.0, 1.0, 2, 2.0, 16000)
    if open_before:
        assert len(list(Path("/proc/self/fd").iterdir())) <= open_before


@pytest.mark.skipif(not MEDIA.is_dir(), reason=f"no real sample data at {MEDIA}")
class TestRealFiles:
    def test_upright_after_rotation(self):
        shapes = [one(MEDIA / f"video_{a}.mov", 0.0, 0.1, 1, 10.0).frames.shape[2:] for a in (0, 90, 180, 270)]
        assert shapes == [(320, 568), (568, 320), (320, 568), (568, 320)]

    @pytest.mark.parametrize(
        "name", ["dash-video-with-dash-.mp4", "h265_10bits.mp4", "transparent.webm", "no_duration.webm", "clip1024.flv",
                 "unordered.mov", "corrupted.mp4", "var_fps_video.mp4", "av1_video.mkv"]
    )  # fmt: skip
    @pytest.mark.parametrize("at_end", ["pad", "shift", "loop"])
    def test_awkward_files_give_clips(self, name, at_end):
        clip = one(MEDIA / name, 0.5, 1.0, 3, 3.0, 16000, at_end=at_end, short_size=64)
        assert clip.frames.shape[:2] == (3, 3)
        assert clip.audio.shape == (16000,)

    @pytest.mark.parametrize("name", ["small.mp4", "bbaf2n.mpg", "flipping_a_pancake.mkv", "skateboarding_dog.mp4"])
    def test_a_seek_gives_what_reading_from_the_start_gives(self, name):
        path = MEDIA / name
        whole = {"all": ClipRequest(Window(0.0, 2.8, "pad"), 29, 10.0, 16000)}
        expected = read(str(path), whole, short_size=32)["all"]
        clip = one(path, 2.0, 0.8, 9, 10.0, 16000, at_end="pad", short_size=32)
        assert clip.frame_times_s.tolist() == pytest.approx(expected.frame_times_s[20:].tolist())
        assert torch.equal(clip.frames, expected.frames[:, 20:])
        difference = (clip.audio - expected.audio[32000:44800]).abs().mean()
        assert difference <= 0.02 * expected.audio.abs().mean()
