from pathlib import Path

import pytest
from small_sets import ANNOTATIONS, labeled_names, needs_annotations, read, write

from stica_pv.data.sources.official.kinetics_sounds import CLASSES
from stica_pv.errors import UsageError

LIST = (
    "label,youtube_id,time_start,time_end,split\nbowling,aaaaaaaaaaa,1,11,val\narchery,bbbbbbbbbbb,2,12,val\n"
    "tap dancing,ccccccccccc,3,13,val\n"
)
MEDIA = ["aaaaaaaaaaa_000001_000011.mp4", "bbbbbbbbbbb_000002_000012.mp4", "ccccccccccc_000003_000013.mp4"]


def test_the_classes_are_kept_and_numbered_among_themselves(tmp_path: Path):
    found = read("kinetics_sounds", write(tmp_path, {"val.csv": LIST}, MEDIA), "val")
    assert labeled_names(found) == {MEDIA[0]: "bowling", MEDIA[2]: "tap dancing"}
    assert found.class_names == CLASSES
    assert found.labels == (CLASSES.index("bowling"), CLASSES.index("tap dancing"))
    assert (len(set(CLASSES)), list(CLASSES)) == (32, sorted(CLASSES))


def test_a_list_of_classes_replaces_the_built_in_one(tmp_path: Path):
    lists = {"val.csv": LIST, "kinetics_sounds.txt": "tap dancing\narchery\n"}
    found = read("kinetics_sounds", write(tmp_path, lists, MEDIA), "val")
    assert found.class_names == ("archery", "tap dancing")
    assert found.labels == (0, 1)


def test_lists_without_these_classes_are_refused(tmp_path: Path):
    root = write(tmp_path, {"val.csv": "\n".join(LIST.splitlines()[:1] + LIST.splitlines()[2:3])}, MEDIA)
    with pytest.raises(UsageError, match=r"val.csv has none of the 32 classes such as 'blowing nose'"):
        read("kinetics_sounds", root, "val")
    unlabeled = {"test.csv": "youtube_id,time_start,time_end\naaaaaaaaaaa,1,11\n"}
    with pytest.raises(UsageError, match=r"test.csv has no column label"):
        read("kinetics_sounds", write(tmp_path, unlabeled), "test")


@needs_annotations
def test_all_classes_are_classes_of_kinetics_400():
    names = (ANNOTATIONS / "kinetics400" / "label_map_k400.txt").read_text().splitlines()
    assert set(CLASSES) <= {name.strip() for name in names}
