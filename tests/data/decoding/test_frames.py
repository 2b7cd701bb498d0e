import pytest
from made_media import SAMPLE_DATA, make_media, numbers_of
from reading import nearest_numbers, one

from stica_pv.data.decoding.reader import read
from stica_pv.structures import ClipRequest, Window


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


def test_nearest_takes_the_earlier_of_two_and_previous_never_the_later(clip_mp4):
    # Wanted: 0.10 (between 2 and 3), 0.19, 0.28, 0.37 s.
    assert numbers_of(one(clip_mp4, 0.1, 0.36, 4, 1 / 0.09).frames.numpy()) == [2, 5, 7, 9]
    previous = one(clip_mp4, 0.1, 0.36, 4, 1 / 0.09, frame_choice="previous")
    assert numbers_of(previous.frames.numpy()) == [2, 4, 7, 9]


@pytest.mark.parametrize(
    ("start", "seconds", "frames", "expected"),
    [
        (0.1, 1.0, 30, [3 + int(i * 24 / 29 + 1e-9) for i in range(30)]),  # 2.5 frames: the first is number 3
        (1.0, 1.0, 25, list(range(25, 50))),  # on a frame
        (1.001, 1.0, 25, list(range(26, 51))),
        (0.5, 2.0, 5, [13, 25, 37, 49, 62]),  # 12.5 frames, then 49/4 apart
        (0.3, 0.5, 1, [8]),
        (3.5, 1.0, 25, list(range(75, 100))),  # as late as the file of 4 s allows
    ],
)
def test_following_takes_whole_frames_from_the_first_one_at_or_after_the_start(
    clip_mp4, start, seconds, frames, expected
):
    clip = one(clip_mp4, start, seconds, frames, frames / seconds, frame_choice="following")
    assert numbers_of(clip.frames.numpy()) == expected


def test_a_window_of_whole_frames_starts_with_the_frame_that_is_shown_then(clip_mp4):
    window = Window(0.5, 1.0, whole_frames=True)  # 12.5 frames
    request = ClipRequest(window, 25, 25.0)
    for choice in ("following", "nearest"):
        frames = read(str(clip_mp4), {"w": request}, frame_choice=choice)["w"].frames
        assert numbers_of(frames.numpy()) == list(range(12, 37))


@pytest.mark.parametrize("frame_choice", ["nearest", "previous", "following"])
def test_a_wanted_time_on_a_frame_gives_that_frame(clip_mp4, frame_choice):
    clip = one(clip_mp4, 1.04, 1.0, 25, 25.0, frame_choice=frame_choice)
    assert numbers_of(clip.frames.numpy()) == list(range(26, 51))


def test_broken_packets_in_the_middle_are_passed_over(folder):
    path = make_media(folder / "broken.mp4", broken_frames=range(40, 43), options={"bf": "0"})
    clip = one(path, 1.0, 2.0, 8, 4.0)
    assert clip.frames.shape[1] == 8
    assert numbers_of(clip.frames[:, 5:].numpy()) == nearest_numbers(2.25, 3, 4.0)


@pytest.mark.parametrize("at_end", ["pad", "shift", "loop"])
def test_a_header_that_promises_half_a_frame_more_at_one_frame_a_second_is_believed(at_end):
    path = SAMPLE_DATA / "media2" / "one_fps_editlist.mp4"
    if not path.is_file():
        pytest.skip(f"no real sample data at {path}")
    for start in (0.0, 6.3, 11.2, 12.1, 14.0):
        assert one(path, start, 1.0, 4, 4.0, at_end=at_end).frame_times_s.max() <= 11.0
