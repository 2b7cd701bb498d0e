"""Decoding begins where the decoder gives a key frame, whatever the container says, and ends behind the last frame."""

from pathlib import Path

import pytest
from edited import edited, flag_every, wrong_windows
from full_decode import full_decode
from made_media import SAMPLE_DATA, make_media
from reading import one

from stica_pv.data.decoding import frame_search
from stica_pv.data.decoding.media_file import MediaFile

HMDB = SAMPLE_DATA / "media2" / "hmdb51_divx.avi"
STARTS = (0.013, 1.213, 2.413, 3.013, 3.613)

CODECS = {
    "mpeg4": ("mp4", {"bf": "0", "g": "80"}),
    "mpeg4-b": ("mp4", {"bf": "2", "g": "80"}),
    "mpeg2video": ("mp4", {"bf": "2", "g": "80"}),
    "libx264": ("mp4", {"bf": "2", "g": "80", "preset": "veryfast"}),
    "h263": ("3gp", {"bf": "0", "g": "80"}),
}


@pytest.mark.parametrize("kind", CODECS)
def test_frames_after_a_false_key_frame_are_those_of_the_whole_file(tmp_path: Path, kind: str):
    ending, options = CODECS[kind]
    plain = make_media(
        tmp_path / f"plain.{ending}",
        video=kind.removesuffix("-b"),
        audio=None,
        options=options,
        size=(128, 96),
    )
    assert wrong_windows(edited(plain, tmp_path / f"false.{ending}", flag_every(20)), STARTS) == []


def test_a_false_key_frame_is_decoded_from_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plain = make_media(tmp_path / "plain.mp4", video="mpeg4", audio=None, options={"bf": "0", "g": "80"})
    path = edited(plain, tmp_path / "false.mp4", flag_every(20))
    decodes = []
    decode = frame_search.decode_frames
    monkeypatch.setattr(frame_search, "decode_frames", lambda *args, **more: decodes.append(1) or decode(*args, **more))
    one(path, 2.6, 0.1, 2, 25.0)
    first, decodes[:] = len(decodes), []
    one(path, 2.5, 0.1, 2, 25.0)
    assert (first > 1, len(decodes)) == (True, 1)


@pytest.mark.parametrize("ending", ["ts", "mkv", "flv", "mp4"])
def test_a_file_that_begins_within_a_group_starts_with_its_first_decodable_frame(tmp_path: Path, ending: str):
    plain = make_media(tmp_path / "plain.ts", audio=None, options={"bf": "2", "g": "30", "preset": "veryfast"})
    path = edited(plain, tmp_path / f"cut.{ending}", lambda packets: packets[13:])
    assert wrong_windows(path, (0.0, 0.4, 1.213, 2.5)) == []
    with MediaFile(str(path)) as media:
        assert media.seconds == pytest.approx(full_decode(path).seconds + 1 / 25, abs=0.2)


def test_a_window_that_begins_while_frames_are_refreshed_little_by_little_is_complete(tmp_path: Path):
    refreshed = {"bf": "0", "x264-params": "intra-refresh=1:keyint=25"}
    path = make_media(tmp_path / "a.mp4", audio=None, options=refreshed, size=(128, 64))
    assert wrong_windows(path, tuple(0.48 + 0.12 * at for at in range(28)), 1) == []


@pytest.mark.skipif(not HMDB.is_file(), reason=f"no real sample data at {HMDB}")
def test_a_clip_of_hmdb51_is_read_like_the_whole_file():
    assert wrong_windows(HMDB, (0.0, 0.34, 0.9, 1.5, 2.1, 2.4)) == []
    assert one(HMDB, 0.0, 0.1, 1, 10.0).frame_times_s.tolist() == [0.0]
