import pickle

import numpy as np
import pytest
import torch
from made_media import SAMPLE_DATA, lag_seconds, make_media, numbers_of, sweep
from reading import FPS, nearest_numbers, one

from stica_pv.data.decoding import media_file
from stica_pv.data.decoding.reader import read
from stica_pv.errors import UnreadableClip
from stica_pv.structures import ClipRequest, Window

MEDIA = SAMPLE_DATA / "media"


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
def test_frames_and_audio_stand_where_they_belong(folder, name, video, audio, rate, options):
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


def test_frames_of_avi_with_b_frames_come_in_order(folder):
    path = make_media(folder / "b-frames.avi", video="mpeg4", audio="libmp3lame", options={"bf": "2"})
    assert numbers_of(one(path, 1.0, 0.8, 20, 25.0).frames.numpy()) == list(range(25, 45))


def test_a_frame_shown_more_than_once_is_kept_once(clip_mp4):
    assert one(clip_mp4, 1.0, 0.4, 10, 25.0).frame_index is None  # nothing to copy
    clip = one(clip_mp4, 1.0, 0.5, 20, 40.0)
    wanted = nearest_numbers(1.0, 20, 40.0)
    assert clip.unique_frames.shape[1] == len(set(wanted)) < 20
    assert numbers_of(clip.frames.numpy()) == wanted
    assert clip.frame_times_s.tolist() == pytest.approx([n / FPS for n in wanted], abs=1e-3)


def test_audio_alone_decodes_no_frame(clip_mp4, monkeypatch):
    monkeypatch.setattr("stica_pv.data.decoding.reader.read_frames", None)
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
        assert torch.equal(clips[name].frames, alone.frames)  # exact: integers
        assert abs(lag_seconds(clips[name].audio.numpy(), start, 16000)) < 1e-3


def test_pad_repeats_the_last_frame_and_adds_silence(clip_mp4):
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


def test_loop_plays_frame_and_audio_again_without_a_seam(clip_mp4):
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


def test_file_cut_at_60_percent_reads_until_there_and_says_where_it_ends(clip_mp4, folder):
    whole = clip_mp4.read_bytes()
    path = folder / "cut.mp4"
    path.write_bytes(whole[: int(len(whole) * 0.6)])
    assert numbers_of(one(path, 0.5, 1.0, 5, 5.0).frames.numpy()) == nearest_numbers(0.5, 5, 5.0)
    for start in (2.2, 3.0):
        with pytest.raises(UnreadableClip, match=r"video ends at [12]\.\d s, the header says 4\.0 s") as caught:
            one(path, start, 1.0, 5, 5.0)
    assert pickle.loads(pickle.dumps(caught.value)).path == str(path)


def test_file_of_which_nothing_decodes_is_unreadable(folder):
    path = make_media(folder / "noise.mp4", broken_frames=range(200), options={"bf": "0"}, audio=None)
    with pytest.raises(UnreadableClip, match="no frame can be decoded"):
        one(path, 0.0, 1.0, 1, 1.0)


def test_a_window_after_the_audio_is_silent_without_an_error(folder):
    path = make_media(folder / "early_end.mp4", audio_seconds=1.5)
    for start, heard in ((0.2, True), (1.4, True), (1.6, False), (2.5, False)):
        clip = one(path, start, 1.0, 5, 5.0, 16000)
        assert (clip.audio_valid > 0, clip.audio_error) == (heard, "")


@pytest.mark.parametrize("at_end", ["pad", "loop"])
def test_audio_that_the_header_promises_and_no_packet_gives_is_an_error(folder, at_end):
    path = make_media(folder / f"mute_{at_end}.mkv", audio_seconds=2.0, broken_audio=True)
    clip = one(path, 0.5, 1.0, 5, 5.0, 16000, at_end=at_end)
    assert clip.audio_valid == 0
    assert clip.audio_error.startswith("no audio can be decoded: ")
    assert one(path, 2.5, 1.0, 5, 5.0, 16000, at_end=at_end).audio_error == ""
    with pytest.raises(UnreadableClip, match="no audio can be decoded"):
        one(path, 0.5, 1.0, 0, 5.0, 16000, at_end=at_end)


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
        assert torch.equal(clip.frames, expected.frames[:, 20:])  # exact: integers
        difference = (clip.audio - expected.audio[32000:44800]).abs().mean()
        assert difference <= 0.02 * expected.audio.abs().mean()
