from pathlib import Path

import pytest
from small_sets import ANNOTATIONS, labeled_names, listing, needs_annotations, read, write

from stica_pv.errors import UsageError

HEADING = "label,youtube_id,time_start,time_end,split,is_cc\n"
VAL = HEADING + '"air drumming",bbbbbbbbbbb,3,13,val,0\nabseiling,aaaaaaaaaaa,417,427,val,0\n'
LISTS = {"annotations/val.csv": VAL, "annotations/train.csv": HEADING + "abseiling,ccccccccccc,0,10,train,0\n"}
MEDIA = [
    "val/abseiling/aaaaaaaaaaa_000417_000427.mp4",
    "val/air_drumming/bbbbbbbbbbb.mkv",
    "train/abseiling/ccccccccccc_000000_000010.mp4",
    "train/abseiling/aaaaaaaaaaa_000417_000427.mp4",  # not of the list of its folder
]


@pytest.mark.parametrize("name", ["kinetics400", "kinetics600", "kinetics700"])
def test_clips_are_found_by_their_id_in_the_folder_of_their_split(tmp_path: Path, name: str):
    assert labeled_names(read(name, write(tmp_path, LISTS, MEDIA), "val")) == {
        "val/air_drumming/bbbbbbbbbbb.mkv": "air drumming",
        "val/abseiling/aaaaaaaaaaa_000417_000427.mp4": "abseiling",
    }


def test_labels_follow_the_sorted_names_or_a_file_of_names(tmp_path: Path):
    root = write(tmp_path, LISTS, MEDIA)
    assert read("kinetics400", root, "val").labels == (1, 0)
    write(root, {"classes.txt": "".join(f"{n}\n" for n in ("air drumming", "abseiling", *range(398)))})
    found = read("kinetics400", root, "val")
    assert found.labels == (0, 1)
    assert len(found.class_names) == 400
    write(root, {"classes.txt": "air drumming\n"})
    with pytest.raises(UsageError, match="classes.txt: expected 400 class names, one a line, got 1"):
        read("kinetics400", root, "val")


def test_a_byte_order_mark_loses_no_labels(tmp_path: Path):
    root = write(tmp_path, {name: "\ufeff" + text.replace("\n", "\r\n") for name, text in LISTS.items()}, MEDIA)
    assert read("kinetics400", root, "val").labels == (1, 0)


def test_a_test_list_without_classes_gives_no_labels(tmp_path: Path):
    root = write(tmp_path, {"test.csv": "youtube_id,time_start,time_end,split\naaaaaaaaaaa,1,11,test\n"},
                 ["aaaaaaaaaaa_000001_000011.mp4"])  # fmt: skip
    assert read("kinetics400", root, "test").labels is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.mp4 1\nb.mp4 2\n", r"val.csv: its first line lacks the column 'youtube_id', got 'a.mp4 1'.*DATASET csv"),
        (HEADING + "abseiling,aaaaaaaaaaa,417\n", r"val.csv, line 2: expected 6 cells 'label,youtube_id"),
        (HEADING + "abseiling,aaaaaaaaaaa,4.5,427,val,0\n", "expected a whole number of seconds, got '4.5'"),
        (HEADING + "abseiling,aaaaaaaaaaa,-1,427,val,0\n", "expected a whole number of seconds, got '-1'"),
    ],
)
def test_a_wrong_list_says_what_was_expected(tmp_path: Path, text: str, message: str):
    with pytest.raises(UsageError, match=message):
        read("kinetics400", write(tmp_path, {"val.csv": text}, MEDIA), "val")


@needs_annotations
def test_the_published_rows_and_class_names_are_parsed(tmp_path: Path):
    published = ANNOTATIONS / "kinetics400"
    write(tmp_path, {name: (published / old).read_text() for name, old in
                     (("val.csv", "val_head.csv"), ("label_map_k400.txt", "label_map_k400.txt"))})  # fmt: skip
    found = listing("kinetics400", tmp_path, "val")
    assert len(found.entries) == len(found.labels or ()) == 400
    assert len(found.class_names) == 400
    assert found.entries[0].stems == ("0wR5jVB-WPk_000417_000427", "0wR5jVB-WPk")
    assert found.entries[-1].folder == "assembling computer"
