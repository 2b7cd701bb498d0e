"""Frames that no other refers to are not decoded before a window, and nothing that comes out is another for it."""

from pathlib import Path

import numpy as np
import pytest
from made_media import make_media
from reading import one

from stica_pv.data.decoding import frames as frames
from stica_pv.data.decoding import skipping
from stica_pv.data.decoding.demux import WHOLE_FILE, collect_packets
from stica_pv.data.decoding.frames import DecodedFrames, timed_frames
from stica_pv.data.decoding.media_file import MediaFile

LONG = {"bf": "2", "g": "300"}
KINDS = {
    "h264.mp4": ("libx264", {**LONG, "preset": "veryfast"}),
    "pyramid.mkv": ("libx264", {"bf": "8", "b-pyramid": "normal", "g": "300", "preset": "veryfast"}),
    "mpeg4.mp4": ("mpeg4", LONG),
    "mpeg4.avi": ("mpeg4", LONG),
    "mpeg2.ts": ("mpeg2video", LONG),
}


@pytest.mark.parametrize("name", KINDS)
def test_skipping_changes_no_frame_and_no_time(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    video, options = KINDS[name]
    path = make_media(tmp_path / name, video=video, options=options, audio="mp2", size=(128, 64))
    starts = (0.0, 0.9, 1.31, 2.02, 2.5, 3.3)
    skipped = [one(path, start, 0.4, 12, 30, 44100) for start in starts]
    monkeypatch.setattr(frames, "skippable_packets", lambda *_: 0)
    for start, clip in zip(starts, skipped, strict=True):
        plain = one(path, start, 0.4, 12, 30, 44100)
        np.testing.assert_array_equal(clip.frames, plain.frames)  # exact: integers
        # exact: the same code with the same shapes, twice
        np.testing.assert_array_equal(clip.frame_times_s, plain.frame_times_s)


def decoded(path: Path, first_s: float) -> tuple[int, list[float]]:
    """Packets that may be skipped before a time, and the times of the frames that are decoded then."""
    with MediaFile(str(path)) as media:
        packets = collect_packets(media, WHOLE_FILE, None).video
        count = skipping.skippable_packets(media, packets, first_s)
        return count, [time for time, _ in timed_frames(media, packets, DecodedFrames(), count)]


def test_two_of_three_frames_are_skipped_up_to_the_one_before_the_window(tmp_path: Path):
    path = make_media(tmp_path / "a.avi", video="mpeg4", options=LONG, audio=None, size=(128, 64))
    count, times = decoded(path, 2.0)
    assert 45 <= count <= 50
    assert [round(25 * time) for time in times if time > 1.99] == list(range(50, 100))
    assert len([time for time in times if time < 1.9]) <= 48 / 3 + 2
    assert decoded(path, -1.0)[0] == 0


def test_nothing_is_skipped_where_times_are_not_certain(tmp_path: Path):
    counted = make_media(tmp_path / "a.avi", video="libx264", options=LONG, audio=None, size=(128, 64))
    stamped_here_and_there = make_media(
        tmp_path / "a.mpg", video="mpeg2video", options=LONG, audio=None, size=(128, 64)
    )
    other = make_media(tmp_path / "a.mkv", video="ffv1", audio=None, size=(128, 64))
    for path in (counted, stamped_here_and_there, other):
        assert decoded(path, 2.0)[0] == 0
