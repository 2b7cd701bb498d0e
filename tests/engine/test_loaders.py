"""What an epoch shows."""

from array import array

from stica_pv.data.manifest.videos import Videos
from stica_pv.data.sources.compact_strings import CompactStrings
from stica_pv.engine.loaders import repeat

VIDEOS = Videos(CompactStrings(["a", "b"]), array("d", [1.0, 2.0]), array("q", [5, 6]), "hash", (), 0, "root")


def test_a_repeated_list_names_each_video_as_often_as_asked_with_its_length_and_class():
    shown = repeat(VIDEOS, 3)
    assert list(shown.paths) == ["a", "b", "a", "b", "a", "b"]
    assert list(shown.durations_s) == [1.0, 2.0] * 3
    assert list(shown.labels or []) == [5, 6] * 3
    assert (shown.list_hash, shown.root) == ("hash", "root")


def test_once_is_the_list_itself():
    assert repeat(VIDEOS, 1) is VIDEOS


def test_a_list_without_labels_stays_without():
    unlabeled = Videos(VIDEOS.paths, [1.0, 2.0], None, "hash", (), 0, "root")
    assert repeat(unlabeled, 2).labels is None
    assert list(repeat(unlabeled, 2).durations_s) == [1.0, 2.0, 1.0, 2.0]
