from pathlib import Path

import pytest
from small_sets import read, write

from stica_pv.errors import UsageError

INDEX = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/05zppz,"Male speech, man speaking"\n2,/t/dd00088,Gargling\n'
SEGMENTS = """# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=2, num_segs=2, num_unique_labels=3, num_positive_labels=3
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/t/dd00088,/m/09x0r"
aaaaaaaaaaa, 0.000, 10.000, "/m/05zppz"
"""
LISTS = {"class_labels_indices.csv": INDEX, "balanced_train_segments.csv": SEGMENTS}


@pytest.mark.parametrize(
    "media",
    [
        ("--PJHxphWEs_000030_000040.wav", "aaaaaaaaaaa_000000_000010.mp4"),
        ("--PJHxphWEs_30_40.wav", "aaaaaaaaaaa_0_10.mp4"),
        ("--PJHxphWEs_30000_40000.mp4", "aaaaaaaaaaa_0_10000.mp4"),
        ("--PJHxphWEs_000030.wav", "aaaaaaaaaaa_000000.wav"),
        ("--PJHxphWEs_30.wav", "aaaaaaaaaaa_0.wav"),
        ("--PJHxphWEs_30000.flac", "aaaaaaaaaaa_0.flac"),
        ("Y--PJHxphWEs.wav", "Yaaaaaaaaaaa.wav"),
        ("--PJHxphWEs.mkv", "aaaaaaaaaaa.mkv"),
    ],
)
def test_segments_have_several_classes_and_are_found_by_every_documented_name(tmp_path: Path, media: tuple[str, str]):
    found = read("audioset", write(tmp_path, LISTS, media), "train")
    assert found.names == media
    assert found.tags == ((0, 2), (1,))
    assert found.labels is None
    assert found.class_names == ("Speech", "Male speech, man speaking", "Gargling")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("balanced_train_segments.csv", 'a, 0.0, 10.0, "/m/none"\n', r"line 1: the class '/m/none' is not among the 3"),
        ("balanced_train_segments.csv", "a, 0.0, 10.0, /m/09x0r, /m/05zppz\n", "line 1: expected 'id, start, end,"),
        ("balanced_train_segments.csv", "# nothing\n", "balanced_train_segments.csv is empty"),
        ("class_labels_indices.csv", "index,mid,display_name\n1,/m/09x0r,Speech\n", "expected the indices 0, 1, 2"),
        ("class_labels_indices.csv", "0,/m/09x0r,Speech\n", "its first line lacks the column 'index'"),
    ],
)
def test_a_wrong_list_says_what_was_expected(tmp_path: Path, name: str, text: str, message: str):
    with pytest.raises(UsageError, match=message):
        read("audioset", write(tmp_path, {**LISTS, name: text}, ["a.wav"]), "train")
