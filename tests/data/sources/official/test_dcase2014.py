from pathlib import Path

import pytest
from small_sets import labeled_names, read, write

from stica_pv.errors import UsageError


def test_lists_name_the_recordings_and_their_classes(tmp_path: Path):
    lists = {
        "evaluation_setup/fold1_train.txt": "audio/a1.wav\tbus\naudio/a2.wav\tpark\n",
        "evaluation_setup/fold1_evaluate.txt": "audio/a3.wav\tpark\n",
    }
    root = write(tmp_path, lists, [f"audio/a{number}.wav" for number in (1, 2, 3)])
    assert labeled_names(read("dcase2014", root, "train")) == {"audio/a1.wav": "bus", "audio/a2.wav": "park"}
    assert labeled_names(read("dcase2014", root, "test")) == {"audio/a3.wav": "park"}


def test_without_lists_the_names_give_the_classes_and_equal_names_stay_apart_by_folder(tmp_path: Path):
    root = write(
        tmp_path, {}, ["scenes_stereo/bus01.wav", "scenes_stereo/tubestation10.wav", "scenes_stereo_testset/bus01.wav"]
    )
    assert labeled_names(read("dcase2014", root, "train")) == {
        "scenes_stereo/bus01.wav": "bus",
        "scenes_stereo/tubestation10.wav": "tubestation",
    }
    assert labeled_names(read("dcase2014", root, "test")) == {"scenes_stereo_testset/bus01.wav": "bus"}


def test_what_cannot_be_recognized_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match=r"has neither a list train.txt .* nor a folder train or scenes_stereo"):
        read("dcase2014", write(tmp_path / "a", {}, ["x.wav"]), "train")
    with pytest.raises(UsageError, match=r"17.wav: expected a name like bus01"):
        read("dcase2014", write(tmp_path / "b", {}, ["train/17.wav"]), "train")
    with pytest.raises(UsageError, match=r"train.txt, line 1: expected a name, a tab and one of bus, busystreet"):
        read("dcase2014", write(tmp_path / "c", {"train.txt": "bus01.wav tram\n"}, ["bus01.wav"]), "train")
