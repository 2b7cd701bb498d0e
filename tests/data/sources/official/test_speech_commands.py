from pathlib import Path

import pytest
from small_sets import labeled_names, official, read, write

from stica_pv.data.sources.groups import source_groups
from stica_pv.errors import UsageError

LISTS = {
    "validation_list.txt": "yes/026290a7_nohash_0.wav\n",
    "testing_list.txt": "no/0132a06d_nohash_1.wav\nyes/0132a06d_nohash_1.wav\n",
}
MEDIA = [
    "_background_noise_/pink_noise.wav",
    "no/0132a06d_nohash_1.wav",
    "no/004ae714_nohash_0.wav",
    "yes/004ae714_nohash_0.wav",
    "yes/0132a06d_nohash_1.wav",
    "yes/026290a7_nohash_0.wav",
]


def test_what_no_list_names_is_for_training_and_noise_is_no_class(tmp_path: Path):
    root = write(tmp_path, LISTS, MEDIA)
    assert labeled_names(read("speech_commands", root, "train")) == {MEDIA[2]: "no", MEDIA[3]: "yes"}
    assert labeled_names(read("speech_commands", root, "val")) == {MEDIA[5]: "yes"}
    test = read("speech_commands", root, "test")
    assert labeled_names(test) == {MEDIA[1]: "no", MEDIA[4]: "yes"}
    assert test.class_names == ("no", "yes")


def test_recordings_of_a_speaker_are_one_source():
    pattern = official("speech_commands").group_pattern
    assert source_groups(MEDIA[1:], pattern).tolist() == [0, 1, 1, 0, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("026290a7_nohash_0.wav", "line 2: expected class/recording.wav"),
        ("maybe/1_nohash_0.wav", "line 2: the class 'maybe'"),
    ],
)
def test_a_wrong_line_is_reported(tmp_path: Path, line: str, message: str):
    lists = {**LISTS, "validation_list.txt": LISTS["validation_list.txt"] + line + "\n"}
    with pytest.raises(UsageError, match=message):
        read("speech_commands", write(tmp_path, lists, MEDIA), "val")


def test_a_folder_without_recordings_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="has no recordings in class folders"):
        read("speech_commands", write(tmp_path, LISTS, MEDIA[:1]), "train")
