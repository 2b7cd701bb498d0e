import time
from dataclasses import replace
from pathlib import Path

import pytest

from stica_pv.data.manifest import manifest_csv as facts_csv
from stica_pv.data.manifest.manifest import probe_all
from stica_pv.data.manifest.manifest_csv import append_media_info, load_media_info
from stica_pv.data.manifest.media_info import COLUMNS, MediaInfo, MediaInfoTable
from stica_pv.data.manifest.videos import open_videos
from stica_pv.data.sources.video_list import VideoList

GOOD = MediaInfo("a.mp4", 10, 20, 3.25, 2.5, 29.97003, 64, 48, "h264", "aac", 44100, 2)
ODD = [
    GOOD,
    MediaInfo("a, b.mp4", 1, 2, error='invalid data: "moov", twice'),
    MediaInfo("quote\".mp4", 3, 2**62, 1.0),
    MediaInfo("not utf-8 \udcff.mp4"),
    replace(GOOD, path="last.mp4"),
]  # fmt: skip


def test_a_table_gives_back_the_facts():
    table = MediaInfoTable(ODD)
    assert list(table) == ODD
    assert list(table.take([3, 0, 3])) == [ODD[3], ODD[0], ODD[3]]
    assert list(table[1:3]) == ODD[1:3]
    assert list(table.column("fps")) == [facts.fps for facts in ODD]


def test_facts_come_back_from_disk(tmp_path: Path):
    append_media_info(tmp_path / "new" / "m.csv", ODD[:2])
    append_media_info(tmp_path / "new" / "m.csv", ODD[2:])
    append_media_info(tmp_path / "new" / "m.csv", [])
    assert list(load_media_info(tmp_path / "new" / "m.csv")) == ODD
    assert (
        (tmp_path / "new" / "m.csv").read_text(errors="replace").startswith(",".join(COLUMNS) + "\na.mp4,10,20,3.25,")
    )
    assert list(load_media_info(tmp_path / "none.csv")) == []


def test_a_line_torn_anywhere_is_none_and_harms_no_other(tmp_path: Path):
    path = tmp_path / "m.csv"
    append_media_info(path, [GOOD])
    kept = len(path.read_bytes())
    bad = replace(GOOD, path='b, "c".mp4', error="the file is cut short: the header promises 9 bytes")
    append_media_info(path, [bad])
    whole = path.read_bytes()
    for cut in range(kept, len(whole)):
        path.write_bytes(whole[:cut])
        assert list(load_media_info(path)) == [GOOD], whole[kept:cut]
        append_media_info(path, [ODD[4]])
        assert list(load_media_info(path)) == [GOOD, ODD[4]], whole[kept:cut]


@pytest.mark.parametrize("line", ["", "a,b", "a.mp4,ten,20,,,,,,,,,,", ",".join(COLUMNS), "x" * 5000])
def test_lines_that_are_none_are_passed_over(tmp_path: Path, line: str):
    path = tmp_path / "m.csv"
    append_media_info(path, ODD[:2])
    path.write_text(path.read_text() + line + "\n")
    append_media_info(path, ODD[4:])
    assert list(load_media_info(path)) == [*ODD[:2], ODD[4]]


def test_a_csv_without_its_heading_is_read_from_the_first_line_on(tmp_path: Path):
    append_media_info(tmp_path / "m.csv", ODD)
    (tmp_path / "m.csv").write_bytes((tmp_path / "m.csv").read_bytes().partition(b"\n")[2])
    assert list(load_media_info(tmp_path / "m.csv")) == ODD


@pytest.mark.parametrize("size", [7, 64, 100_000])
def test_a_csv_larger_than_what_is_read_at_once_keeps_order_and_passes_over_wrong_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
):
    monkeypatch.setattr(facts_csv, "_BLOCK_CHARACTERS", size)
    many = [replace(GOOD, path=f"{number}.mp4", size_bytes=number) for number in range(300)]
    append_media_info(tmp_path / "m.csv", many[:99])
    with (tmp_path / "m.csv").open("a") as file:
        file.write("a.mp4,ten,20,3.25,2.5,29.97003,64,48,h264,aac,44100,2,\nshort,1\n,,,,,,,,,,,,,,\n")
    append_media_info(tmp_path / "m.csv", [*many[99:], *ODD])
    assert list(load_media_info(tmp_path / "m.csv")) == [*many, *ODD]


@pytest.mark.slow
def test_a_list_of_240_000_files_opens_in_seconds_and_stays_small(tmp_path: Path):
    names = [f"train/class_{i % 400:03}/video_{i:012}.mp4" for i in range(240_000)]
    append_media_info(tmp_path / "m.csv", [replace(GOOD, path=f"root/{name}") for name in names])
    listed = VideoList([f"root/{name}" for name in names], tuple(i % 400 for i in range(240_000)), (), "root")
    begin = time.process_time()
    videos = open_videos(listed, manifest=tmp_path / "m.csv", min_seconds=2.0, needs_audio=True, trust=True)
    seconds = time.process_time() - begin
    assert len(videos.paths) == 240_000
    assert seconds < 4.0  # of processor time
    assert videos.paths.size_bytes + 16 * 240_000 < 20e6
    assert len(probe_all(listed.paths, tmp_path / "m.csv", 1, trust=True)) == 240_000
