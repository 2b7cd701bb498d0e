from pathlib import Path

import pytest
from made_media import lag_seconds, make_media, numbers_of
from open_files import open_files
from reading import nearest_numbers, one

from stica_pv.errors import UnreadableClip


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


@pytest.mark.parametrize("name", ["-dash.mp4", "a:b.mp4", "per%cent 01.mp4"])
def test_odd_names_are_plain_files(tmp_path, monkeypatch, name):
    make_media(tmp_path / "plain.mp4", seconds=0.4).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert one(Path(name), 0.0, 0.2, 1, 5.0).frames.shape[1] == 1


def test_containers_are_closed(clip_mp4, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(clip_mp4.read_bytes()[:3000])
    before = open_files()
    for _ in range(5):
        one(clip_mp4, 1.0, 1.0, 2, 2.0, 16000)
        with pytest.raises(UnreadableClip):
            one(bad, 1.0, 1.0, 2, 2.0, 16000)
    assert not open_files() - before


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
