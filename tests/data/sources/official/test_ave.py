from pathlib import Path

import pytest
from small_sets import labeled_names, read, write

from stica_pv.errors import UsageError

LISTS = {
    "trainSet.txt": "Male speech, man speaking&aaaaaaaaaaa&good&0&10\nBark&-bbbbbbbbbb&good&2&7\n",
    "valSet.txt": "Bark&ccccccccccc&good&0&10\n",
    "testSet.txt": "Category&VideoID&Quality&StartTime&EndTime\nChurch bell&ddddddddddd&good&0&5\n",
}
MEDIA = ["AVE/aaaaaaaaaaa.mp4", "AVE/-bbbbbbbbbb.mp4", "AVE/ccccccccccc.mp4", "AVE/ddddddddddd.mp4"]


def test_lists_are_read_and_labels_follow_the_classes_of_all_of_them(tmp_path: Path):
    root = write(tmp_path, LISTS, MEDIA)
    train = read("ave", root, "train")
    assert train.class_names == ("Bark", "Church bell", "Male speech, man speaking")
    assert labeled_names(train) == {"AVE/aaaaaaaaaaa.mp4": "Male speech, man speaking", "AVE/-bbbbbbbbbb.mp4": "Bark"}
    assert labeled_names(read("ave", root, "val")) == {"AVE/ccccccccccc.mp4": "Bark"}
    assert labeled_names(read("ave", root, "test")) == {"AVE/ddddddddddd.mp4": "Church bell"}  # also with a heading


def test_a_video_with_several_lines_counts_once_and_never_on_both_sides(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    more = {
        "trainSet.txt": LISTS["trainSet.txt"] + "Bark&aaaaaaaaaaa&good&0&10\nBark&ddddddddddd&good&0&10\n",
        "testSet.txt": LISTS["testSet.txt"] + "Bark&ddddddddddd&good&6&9\n",
    }
    root = write(tmp_path, {**LISTS, **more}, MEDIA)
    assert list(labeled_names(read("ave", root, "train")).values()) == ["Male speech, man speaking", "Bark"]
    assert "2 of 4 lines are left out" in caplog.text
    assert labeled_names(read("ave", root, "test")) == {"AVE/ddddddddddd.mp4": "Church bell"}


def test_wrong_and_missing_lists_are_refused(tmp_path: Path):
    root = write(tmp_path, {**LISTS, "valSet.txt": "Bark ccccccccccc good 0 10\n"}, MEDIA)
    with pytest.raises(UsageError, match=r"valSet.txt, line 1: expected Category&VideoID&Quality&StartTime&EndTime"):
        read("ave", root, "train")
    (root / "valSet.txt").unlink()
    with pytest.raises(UsageError, match=r"there is no valSet.txt in .* or AVE_Dataset/ in it"):
        read("ave", root, "train")
