from pathlib import Path

import pytest
from small_sets import ANNOTATIONS, labeled_names, listing, needs_annotations, official, read, write

from stica_pv.data.sources.groups import source_groups
from stica_pv.errors import UsageError

LISTS = {
    "classInd.txt": "1 Archery\n2 Surfing\n",
    "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\nSurfing/v_Surfing_g08_c01.avi 2\n",
    "testlist01.txt": "Archery/v_Archery_g01_c01.avi\nSurfing/v_Surfing_g01_c01.avi\n",
}
MEDIA = [f"UCF-101/{name}/v_{name}_{clip}.avi" for name in ("Archery", "Surfing") for clip in ("g01_c01", "g08_c01")]


def test_labels_count_from_0_and_those_of_test_clips_follow_their_folder(tmp_path: Path):
    root = write(tmp_path, LISTS, MEDIA)
    assert labeled_names(read("ucf101", root, "train1")) == {
        "UCF-101/Archery/v_Archery_g08_c01.avi": "Archery",
        "UCF-101/Surfing/v_Surfing_g08_c01.avi": "Surfing",
    }
    assert read("ucf101", root, "train1").labels == (0, 1)
    assert read("ucf101", root, "test1").labels == (0, 1)
    assert read("ucf101", root, "test1").class_names == ("Archery", "Surfing")


def test_lists_may_lie_in_a_folder_and_files_have_another_ending_or_no_class_folder(tmp_path: Path):
    lists = {f"ucfTrainTestlist/{name}": text for name, text in LISTS.items()}
    root = write(tmp_path, lists, ["flat/v_Archery_g08_c01.mp4", "flat/v_Surfing_g08_c01.mp4"])
    assert read("ucf101", root, "train1").names == ("flat/v_Archery_g08_c01.mp4", "flat/v_Surfing_g08_c01.mp4")


def test_media_may_lie_elsewhere(tmp_path: Path):
    lists, media = write(tmp_path / "lists", LISTS), write(tmp_path / "media", {}, MEDIA)
    found = read("ucf101", lists, "test1", prefix=str(media))
    assert found.root == str(media)
    assert found.names[0] == "UCF-101/Archery/v_Archery_g01_c01.avi"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "trainlist01.txt",
            "Archery/v_Archery_g08_c01.avi 2\n",
            r"list01.txt, line 1: classInd.txt has 1 for Archery",
        ),
        (
            "trainlist01.txt",
            "\nRowing/v_Rowing_g01_c01.avi 1\n",
            r"line 2: the class 'Rowing' is not among the 2",
        ),
        ("trainlist01.txt", "v_Archery_g08_c01.avi 1\n", r"line 1: expected 'Class/v_Class"),
        ("trainlist01.txt", "\n", "trainlist01.txt is empty"),
        ("classInd.txt", "1 Archery\n3 Surfing\n", r"classInd.txt, line 2: expected '2 Class', got '3 Surfing'"),
    ],
)
def test_a_wrong_list_is_reported_with_its_line(tmp_path: Path, name: str, text: str, message: str):
    with pytest.raises(UsageError, match=message):
        read("ucf101", write(tmp_path, {**LISTS, name: text}, MEDIA), "train1")


def test_a_missing_list_and_an_unknown_split_are_reported(tmp_path: Path):
    root = write(tmp_path, LISTS, MEDIA)
    with pytest.raises(UsageError, match=r"there is no trainlist02.txt in .* or ucfTrainTestlist/ in it"):
        read("ucf101", root, "train2")
    with pytest.raises(UsageError, match=r"TRAIN.SPLIT, .*got 'train'.*expected one of train1, test1"):
        read("ucf101", root, "train")


@needs_annotations
def test_the_published_lists_have_the_published_counts():
    counts = {
        split: len(listing("ucf101", ANNOTATIONS / "ucf101", split).entries) for split in official("ucf101").splits
    }
    assert counts == {"train1": 9537, "test1": 3783, "train2": 9586, "test2": 3734, "train3": 9624, "test3": 3696}
    for split in ("train1", "test1"):
        found = listing("ucf101", ANNOTATIONS / "ucf101", split)
        assert sorted(set(found.labels or ())) == list(range(101))
        assert len(found.class_names) == 101


@needs_annotations
def test_no_source_is_on_both_sides_of_a_published_split():
    for train, test in official("ucf101").folds.values():
        halves = [
            [f"{e.name}.avi" for e in listing("ucf101", ANNOTATIONS / "ucf101", s).entries] for s in (train, test)
        ]
        groups = source_groups(halves[0] + halves[1], official("ucf101").group_pattern)
        assert groups.max() + 1 == 2525  # 25 groups in each of the 101 classes
        assert not set(groups[: len(halves[0])]) & set(groups[len(halves[0]) :])
