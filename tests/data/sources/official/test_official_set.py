from pathlib import Path

import pytest
from small_sets import read, write

from stica_pv.data.sources.official.official_set import Entry, Listing, MediaIndex, OfficialSet
from stica_pv.errors import UsageError


def entries(*names: str) -> OfficialSet:
    found = [Entry((name.rpartition("/")[2],), name.rpartition("/")[0]) for name in names]
    listing = Listing("a list", found, ("zero", "one"), [index % 2 for index in range(len(found))])
    return OfficialSet(lambda folder, split: listing, splits=("all",), folds={})


def test_the_first_of_the_possible_names_that_is_there_counts(tmp_path: Path):
    media = MediaIndex(str(write(tmp_path, {}, ["b.mp4", "deep/c.wav"])))
    assert media.find(Entry(("a", "b", "c"))) == str(tmp_path / "b.mp4")
    assert media.find(Entry(("a", "c", "b"))) == str(tmp_path / "deep/c.wav")
    assert media.find(Entry(("a",))) is None


def test_files_of_one_name_are_distinguished_by_their_folder_or_refused(tmp_path: Path):
    media = MediaIndex(str(write(tmp_path, {}, ["x/one/a.mp4", "x/two/a.mp4", "y/two/a.mp4"])))
    assert media.find(Entry(("a",), "one")) == str(tmp_path / "x/one/a.mp4")
    with pytest.raises(UsageError, match=r"two/a is ambiguous: .*x/two/a.mp4 and .*y/two/a.mp4; set DATA.PATH_PREFIX"):
        media.find(Entry(("a",), "two"))
    with pytest.raises(UsageError, match=r"three/a is ambiguous: .*x/one/a.mp4 and .*x/two/a.mp4"):
        media.find(Entry(("a",), "three"))


def test_absent_files_are_left_out_up_to_the_share_and_named(tmp_path: Path):
    root = write(tmp_path, {}, ["k/a.mp4", "k/c.mp4", "k/d.mp4"])
    source = entries("k/a", "k/b", "k/c", "k/d")
    found = source(path=str(root), split="all", max_absent_share=0.25)
    assert found.names == ("k/a.mp4", "k/c.mp4", "k/d.mp4")
    assert found.labels == (0, 0, 1)
    assert found.absent == ("k/b",)
    with pytest.raises(UsageError, match=r"1 of 4 videos of a list are missing \(25.00%\), e.g. k/b; searched below"):
        source(path=str(root), split="all", max_absent_share=0.24)


def test_a_list_without_any_file_is_refused_whatever_the_share(tmp_path: Path):
    root = write(tmp_path, {}, ["other.mp4"])
    with pytest.raises(UsageError, match="2 of 2 videos"):
        entries("a", "b")(path=str(root), split="all", max_absent_share=1.0)
    with pytest.raises(UsageError, match=r"no media files in .*empty"):
        entries("a")(path=str(tmp_path), split="all", prefix=str(write(tmp_path, {"empty/x.txt": ""}) / "empty"))


def test_folders_that_do_not_exist_are_reported(tmp_path: Path):
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        read("ucf101", tmp_path / "nowhere", "train1")
    with pytest.raises(UsageError, match=r"there is no folder .*nowhere"):
        read("ucf101", tmp_path, "train1", prefix=str(tmp_path / "nowhere"))
