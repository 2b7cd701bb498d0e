import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from made_media import SAMPLE_DATA

from stica_pv.config import CfgNode, apply_overrides
from stica_pv.data.sources.labeled import Fold, LabeledSet, labeled_set, labeled_set_from_config
from stica_pv.data.sources.video_list import VideoList
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError

UCF = {
    "classInd.txt": "1 Archery\n2 Surfing\n",
    **{
        f"trainlist0{k}.txt": f"Archery/v_Archery_g0{k}_c01.avi 1\nSurfing/v_Surfing_g0{k}_c01.avi 2\n"
        for k in (1, 2, 3)
    },
    **{f"testlist0{k}.txt": f"Archery/v_Archery_g0{k % 3 + 1}_c01.avi\n" for k in (1, 2, 3)},
}


def cfg_of(data: Path, **overrides: Any) -> CfgNode:
    cfg = get_cfg()
    apply_overrides(cfg, ["DATA.PATH_TO_DATA_DIR", str(data)])
    apply_overrides(cfg, [str(w) for key, value in overrides.items() for w in (key.replace("__", "."), value)])
    return cfg


def opened(data: Path, **overrides: Any) -> LabeledSet:
    return labeled_set_from_config(cfg_of(data, **overrides))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six clips in train.csv and test.csv, and lists of two UCF classes over them."""
    for name in [f"{c}/v_{c}_g0{k}_c01.avi" for c in ("Archery", "Surfing") for k in (1, 2, 3)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "train.csv").write_text("Archery/v_Archery_g01_c01.avi 0\nSurfing/v_Surfing_g01_c01.avi 1\n")
    (tmp_path / "test.csv").write_text("Archery/v_Archery_g02_c01.avi 0\n")
    for name, text in UCF.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_csv_has_one_fold_of_its_two_lists(data):
    found = opened(data)
    assert found.names == (
        "Archery/v_Archery_g01_c01.avi",
        "Surfing/v_Surfing_g01_c01.avi",
        "Archery/v_Archery_g02_c01.avi",
    )
    assert found.labels.tolist() == [0, 1, 0]
    assert [(fold.name, fold.train.tolist(), fold.test.tolist()) for fold in found.folds] == [("test", [0, 1], [2])]
    assert found.groups.tolist() == [0, 1, 2]
    assert (found.name, found.root, found.multi_label) == (data.name, str(data), False)


def test_an_official_set_has_its_folds_and_knows_its_sources(data):
    found = opened(data, TEST__DATASET="ucf101")
    assert len(found) == 6
    assert [fold.name for fold in found.folds] == ["1", "2", "3"]
    assert [found.names[row] for row in found.folds[2].test] == ["Archery/v_Archery_g01_c01.avi"]
    assert found.class_names == ("Archery", "Surfing")
    assert len(found.groups.unique()) == 6
    assert found.labels.dtype == found.groups.dtype == found.folds[0].train.dtype == torch.int64


def test_folds_are_chosen_by_name_or_as_two_splits(data):
    assert [f.name for f in opened(data, TEST__DATASET="ucf101", TEST__FOLDS="[3, 1]").folds] == ["3", "1"]
    assert [f.name for f in opened(data, TEST__DATASET="ucf101", TEST__FOLDS="2").folds] == ["2"]
    pair = opened(data, TEST__DATASET="ucf101", TEST__FOLDS="train1:train2").folds[0]
    assert (pair.name, len(pair.train), len(pair.test)) == ("train1:train2", 2, 2)
    with pytest.raises(UsageError, match=r"TEST.FOLDS: there is no fold '4'.*; use one of 1, 2, 3"):
        opened(data, TEST__DATASET="ucf101", TEST__FOLDS="4")


def test_the_test_set_may_lie_elsewhere_than_the_training_set(data, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    overrides = {"TEST__PATH_TO_DATA_DIR": data, "DATA__PATH_PREFIX": elsewhere, "TRAIN__DATASET": "folder"}
    assert len(opened(elsewhere, TEST__DATASET="csv", **overrides)) == 3
    (elsewhere / "train.csv").write_text((data / "train.csv").read_text())
    (elsewhere / "test.csv").write_text((data / "test.csv").read_text())
    assert len(opened(elsewhere, DATA__PATH_PREFIX=data)) == 3
    found = opened(data, TEST__PATH_TO_DATA_DIR=elsewhere, TEST__PATH_PREFIX=data)
    assert (len(found), found.root) == (3, str(data))


def test_groups_come_from_the_pattern_of_the_test_then_of_the_set_then_of_the_data(data):
    assert opened(data, DATA__GROUP_PATTERN="(Archery)").groups.tolist() == [0, 1, 0]
    assert opened(data, DATA__GROUP_PATTERN="(Archery)", TEST__GROUP_PATTERN="(v_)").groups.tolist() == [0, 1, 0]
    assert len(opened(data, TEST__DATASET="ucf101", DATA__GROUP_PATTERN="(Archery)").groups.unique()) == 6
    assert len(opened(data, TEST__DATASET="ucf101", TEST__GROUP_PATTERN="(?P<source>v_)").groups.unique()) == 1


def test_class_folders_of_two_splits_share_sources_and_classes(tmp_path):
    for name in ("train/b/x_g1_1.mp4", "train/c/x_g2_1.mp4", "test/c/x_g2_2.mp4", "test/a/x_g3_1.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    found = opened(tmp_path, TRAIN__DATASET="class_folders", DATA__GROUP_PATTERN=r"_g(\d)_")
    assert found.names == ("train/b/x_g1_1.mp4", "train/c/x_g2_1.mp4", "test/a/x_g3_1.mp4", "test/c/x_g2_2.mp4")
    assert found.class_names == ("a", "b", "c")
    assert found.labels.tolist() == [1, 2, 0, 2]
    assert found.groups.tolist() == [0, 1, 2, 1]


def test_sources_on_both_sides_of_a_fold_are_counted_in_one_line(data, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)
    opened(data)
    opened(data, TEST__DATASET="ucf101")
    assert "sources" not in caplog.text
    opened(data, TEST__DATASET="ucf101", TEST__GROUP_PATTERN="(?P<source>Archery)")
    assert "sources with clips on both sides of a fold: 1 in fold 1, 1 in fold 2, 1 in fold 3;" in caplog.text
    assert len(caplog.records) == 1


def test_a_file_on_both_sides_of_a_fold_is_refused(data):
    with pytest.raises(UsageError, match=r"fold train: 2 files are in both the training and the test list, .*g01_c01"):
        opened(data, TEST__SPLIT="train")


def test_lists_without_labels_and_unset_folders_are_refused(data):
    with pytest.raises(UsageError, match="TEST.ENABLE needs labels, but the 'train' list has none"):
        opened(data, TRAIN__DATASET="folder")
    with pytest.raises(UsageError, match="DATA.PATH_TO_DATA_DIR is not set"):
        opened(data, DATA__PATH_TO_DATA_DIR="")


def test_absent_files_are_skipped_up_to_the_share_and_reported(data, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)
    (data / "Surfing/v_Surfing_g01_c01.avi").unlink()
    with pytest.raises(UsageError, match="1 of 2 videos of .*train.csv are missing"):
        opened(data)
    assert len(opened(data, DATA__MAX_ABSENT_SHARE=0.5)) == 2
    assert "1 of 2 videos of the train list are missing (50.00%)" in caplog.text


def test_the_hash_is_of_names_labels_and_folds():
    def digest(names: str, labels: tuple[int, ...], root: str = "r", name: str = "f") -> str:
        one = VideoList([f"{root}/{n}" for n in names[:2]], labels[:2], ("x", "y"), root)
        two = VideoList([f"{root}/{n}" for n in names[2:]], labels[2:], ("x", "y"), root)
        return labeled_set({"a": one, "b": two}, {name: ("a", "b")}, name="csv", root=root).hash

    first = digest("stu", (0, 1, 0))
    assert digest("stu", (0, 1, 0), root="elsewhere") == first
    others = [digest("stv", (0, 1, 0)), digest("stu", (0, 1, 1)), digest("stu", (0, 1, 0), name="g")]
    assert len({first, *others}) == 4


def test_sets_that_do_not_fit_are_refused():
    rows = torch.arange(2)
    with pytest.raises(ValueError, match="1 paths, 2 labels, 2 groups do not fit"):
        LabeledSet("s", ["a"], rows, (), rows, (Fold("f", rows, rows),), "", "")
    with pytest.raises(ValueError, match="at least one fold"):
        LabeledSet("s", ["a", "b"], rows, (), rows, (), "", "")


def test_the_real_sets_open_end_to_end():
    if not SAMPLE_DATA.is_dir():
        pytest.skip("the real data are not here")
    ucf = opened(SAMPLE_DATA / "ucf6-av", DATA__GROUP_PATTERN=r"_g(\d+)_")
    assert [(len(fold.train), len(fold.test)) for fold in ucf.folds] == [(580, 216)]
    assert len(ucf.groups.unique()) == 149
    esc = opened(SAMPLE_DATA / "esc10", TRAIN__DATASET="esc10")
    assert [(fold.name, len(fold.train), len(fold.test)) for fold in esc.folds] == [(k, 320, 80) for k in "12345"]
    assert sorted(torch.cat([fold.test for fold in esc.folds]).tolist()) == list(range(400))


def test_sources_of_labels_are_read_by_class_and_change_no_hash(data: Path, caplog: pytest.LogCaptureFixture):
    (data / "sources.csv").write_text("class,source\nSurfing,both\n")
    plain = opened(data, TEST__DATASET="ucf101", TEST__PATH_TO_DATA_DIR=data)
    with caplog.at_level("INFO"):
        found = opened(
            data, TEST__DATASET="ucf101", TEST__PATH_TO_DATA_DIR=data, TEST__LABEL_SOURCES=data / "sources.csv"
        )
    assert (plain.label_sources, found.label_sources) == ((), ("", "both"))
    assert found.hash == plain.hash  # features are the same
    assert "0 audio, 0 video, 1 both, 1 unknown" in caplog.text
