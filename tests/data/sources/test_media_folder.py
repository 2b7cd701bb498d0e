import logging
import os
from pathlib import Path

import pytest

from stica_pv.data.conversion.copied_lists import lists_below
from stica_pv.data.sources.media_endings import is_media
from stica_pv.data.sources.media_folder import media_files
from stica_pv.data.sources.official.official_set import Entry, MediaIndex
from stica_pv.data.sources.sources import read_class_folders, read_folder
from stica_pv.errors import UsageError

MEDIA = ("mts", "m2ts", "3g2", "f4v", "mxf", "dv", "vob", "asf", "MP4", "wma", "aiff", "amr", "caf", "ts", "rmvb")
OTHERS = ("txt", "csv", "json", "jpg", "png", "gif", "webp", "srt", "vtt", "ass", "nfo", "xml", "pdf", "npz", "idx")


@pytest.fixture
def train(tmp_path: Path) -> Path:
    """A folder of two classes, and `k/train`, a link to it."""
    for name in ("real/train/a/1.mp4", "real/train/a/2.mp4", "real/train/b/3.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "k").mkdir()
    os.symlink(tmp_path / "real/train", tmp_path / "k/train")
    return tmp_path / "k/train"


def test_a_link_made_twice_lists_each_file_once(train: Path, caplog: pytest.LogCaptureFixture):
    os.symlink(train.resolve(), train / "train")  # `ln -s real/train k/train`, run again
    found = read_class_folders(path=str(train))
    assert found.names == ("a/1.mp4", "a/2.mp4", "b/3.mp4")
    assert (found.labels, found.class_names) == ((0, 0, 1), ("a", "b"))
    assert [record.message for record in caplog.records] == [
        f"{train}: 1 links are skipped, as each folder is listed once, e.g. {train}/train, a loop to {train}"
    ]


def test_loops_end_for_every_source(train: Path):
    os.symlink("..", train / "a/up")
    os.symlink("../a", train / "b/other")
    (train / "a/list.csv").touch()
    assert read_folder(path=str(train)).names == ("a/1.mp4", "a/2.mp4", "b/3.mp4")
    assert MediaIndex(str(train)).find(Entry(("3",))) == f"{train}/b/3.mp4"
    assert list(lists_below(train)) == ["a/list.csv"]


def test_a_real_folder_counts_before_a_link_to_it(train: Path, caplog: pytest.LogCaptureFixture):
    os.symlink("b", train / "0")
    assert read_class_folders(path=str(train)).class_names == ("a", "b")
    assert f"{train}/0, a folder that is already listed to {train}/b" in caplog.text


def test_a_link_elsewhere_is_followed(train: Path, tmp_path: Path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far/4.mts").touch()
    os.symlink(tmp_path / "far", train / "aa")
    assert read_class_folders(path=str(train)).names == ("a/1.mp4", "a/2.mp4", "aa/4.mts", "b/3.mp4")


def test_other_files_are_counted(train: Path, caplog: pytest.LogCaptureFixture):
    for name in ("a/1.txt", "a/2.txt", "b/README", "b/x.jpg"):
        (train / name).touch()
    with caplog.at_level(logging.INFO):
        media_files(str(train))
    assert "3 media files; 4 files with other endings (2 .txt, 1 .jpg, 1 without) are skipped" in caplog.text


def test_a_folder_of_other_files_says_which_there_are(tmp_path: Path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(UsageError, match=r"no media files in .*; there are 1 files with other endings \(1 \.txt\)"):
        media_files(str(tmp_path))


def test_what_ffmpeg_calls_media_is_media():
    for ending in MEDIA:
        assert is_media(f"a.b.{ending}"), ending
    for ending in OTHERS:
        assert not is_media(f"a.mp4.{ending}"), ending
    assert not is_media("mp4")
