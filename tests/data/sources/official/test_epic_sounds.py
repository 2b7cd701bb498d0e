from pathlib import Path

import pytest
from small_sets import labeled_names, official, read, write

from stica_pv.data.sources.groups import source_groups
from stica_pv.errors import UsageError

HEADING = (
    "annotation_id,participant_id,video_id,start_timestamp,stop_timestamp,start_sample,stop_sample,description,class,"
    "class_id\n"
)
LISTS = {
    "EPIC_Sounds_train.csv": HEADING
    + "P01_01_0,P01,P01_01,00:00:00.472,00:00:05.948,11328,142752,water,water,6\n"
    + 'P01_01_1,P01,P01_01,00:00:08.0,00:00:09.0,192000,216000,"click, click",click,1\n',
    "EPIC_Sounds_validation.csv": HEADING + "P02_103_7,P02,P02_103,00:01:00.0,00:01:01.0,1,2,beep,beep,0\n",
}
MEDIA = ["clips/P01_01_0.mp4", "clips/P01_01_1.mp4", "clips/P02_103_7.mp4"]


def test_parts_are_files_named_by_their_annotation_and_labels_are_the_published_numbers(tmp_path: Path):
    root = write(tmp_path, LISTS, MEDIA)
    train = read("epic_sounds", root, "train")
    assert labeled_names(train) == {"clips/P01_01_0.mp4": "water", "clips/P01_01_1.mp4": "click"}
    assert train.labels == (6, 1)
    assert train.class_names == ("beep", "click", "2", "3", "4", "5", "water")
    assert read("epic_sounds", root, "val").labels == (0,)


def test_parts_of_a_video_are_one_source():
    assert source_groups(MEDIA, official("epic_sounds").group_pattern).tolist() == [0, 0, 1]


@pytest.mark.parametrize("number", ["x", "6"])
def test_a_number_with_two_classes_or_none_is_refused(tmp_path: Path, number: str):
    row = f"P02_103_8,P02,P02_103,0,1,1,2,hum,hum,{number}\n"
    lists = {**LISTS, "EPIC_Sounds_validation.csv": LISTS["EPIC_Sounds_validation.csv"] + row}
    with pytest.raises(UsageError, match=f"expected one class for each class_id 0, 1, 2, …, got {number} 'hum'"):
        read("epic_sounds", write(tmp_path, lists, MEDIA), "train")
