import logging

import pytest

from stica_pv.data.sources.merged_lists import merge_lists
from stica_pv.data.sources.video_list import VideoList
from stica_pv.errors import UsageError


def videos(names: str, labels: list[int], classes: str) -> VideoList:
    return VideoList([f"root/{name}" for name in names], tuple(labels), tuple(classes), "root")


def test_a_file_of_several_lists_has_one_row():
    joined = merge_lists({"one": videos("abc", [0, 1, 0], "xy"), "two": videos("dca", [1, 0, 0], "xy")})
    assert joined.paths == ("root/a", "root/b", "root/c", "root/d")
    assert joined.names == ("a", "b", "c", "d")
    assert joined.labels.tolist() == [0, 1, 0, 1]
    assert joined.rows["one"].tolist() == [0, 1, 2]
    assert joined.rows["two"].tolist() == [3, 2, 0]


def test_lists_that_know_fewer_classes_keep_their_numbers():
    joined = merge_lists({"one": videos("a", [0], ["0"]), "two": videos("b", [10], [str(n) for n in range(11)])})
    assert joined.labels.tolist() == [0, 10]
    assert joined.class_names == tuple(str(number) for number in range(11))


def test_lists_that_number_other_classes_are_joined_by_the_names_of_classes():
    joined = merge_lists({"one": videos("ab", [0, 1], "xz"), "two": videos("cd", [0, 1], "yz")})
    assert joined.class_names == ("x", "y", "z")
    assert joined.labels.tolist() == [0, 2, 1, 2]


def test_a_file_with_two_classes_in_single_lists_is_refused():
    with pytest.raises(UsageError, match="root/a has the class x and also y: fix the lists"):
        merge_lists({"one": videos("a", [0], "xy"), "two": videos("a", [1], "xy")})


def test_a_line_that_repeats_a_file_counts_once_and_is_reported(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)
    joined = merge_lists({"one": videos("aba", [0, 1, 0], "xy")})
    assert joined.rows["one"].tolist() == [0, 1]
    assert "1 lines of the 'one' list repeat a file" in caplog.text


def test_files_of_several_classes_have_a_row_of_bools():
    tagged = VideoList(["root/a", "root/b", "root/c"], None, ("x", "y", "z"), "root", tags=((0, 2), (1,), ()))
    joined = merge_lists({"one": tagged})
    assert joined.labels.tolist() == [[True, False, True], [False, True, False], [False, False, False]]


def test_lists_without_labels_are_refused():
    with pytest.raises(UsageError, match="TEST.ENABLE needs labels, but the 'two' list has none"):
        merge_lists({"one": videos("a", [0], "x"), "two": VideoList(["root/b"], None, (), "root")})
