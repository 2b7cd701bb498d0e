from pathlib import Path

import pytest
from small_sets import ANNOTATIONS, labeled_names, listing, needs_annotations, official, read, write

from stica_pv.data.sources.groups import source_groups
from stica_pv.data.sources.official import hmdb51
from stica_pv.errors import UsageError

FILM = "Film_%s_u_nm_np1_ba_goo_%d.avi"
LISTS = {
    f"splits/{name}_test_split1.txt": "".join(f"{FILM % (name, tag)} {tag} \n" for tag in (0, 1, 2))
    for name in ("walk", "brush_hair")
}
MEDIA = [f"{name}/{FILM % (name, tag)}" for name in ("walk", "brush_hair") for tag in (0, 1, 2)]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hmdb51, "CLASSES", 2)
    return write(tmp_path, LISTS, MEDIA)


def test_1_is_training_and_2_is_test_and_0_is_neither(root: Path):
    assert labeled_names(read("hmdb51", root, "train1")) == {
        "brush_hair/Film_brush_hair_u_nm_np1_ba_goo_1.avi": "brush_hair",
        "walk/Film_walk_u_nm_np1_ba_goo_1.avi": "walk",
    }
    assert read("hmdb51", root, "test1").names == (
        "brush_hair/Film_brush_hair_u_nm_np1_ba_goo_2.avi",
        "walk/Film_walk_u_nm_np1_ba_goo_2.avi",
    )
    assert read("hmdb51", root, "test1").labels == (0, 1)


def test_lists_that_are_missing_or_wrong_are_reported(root: Path):
    with pytest.raises(UsageError, match=r"there is no brush_hair_test_split2.txt in .* or testTrainMulti_7030_splits"):
        read("hmdb51", root, "train2")
    (root / "splits/walk_test_split1.txt").write_text("a.avi 3\n")
    with pytest.raises(UsageError, match=r"walk_test_split1.txt, line 1: expected a name and 0, 1 or 2, got 'a.avi 3'"):
        read("hmdb51", root, "train1")
    (root / "splits/walk_test_split1.txt").unlink()
    with pytest.raises(UsageError, match=r"splits holds 1 of the 2 lists of split 1"):
        read("hmdb51", root, "train1")


@needs_annotations
def test_the_published_lists_have_the_published_counts_and_keep_sources_apart():
    for train, test in official("hmdb51").folds.values():
        halves = [listing("hmdb51", ANNOTATIONS / "hmdb51", split) for split in (train, test)]
        assert [len(half.entries) for half in halves] == [3570, 1530]
        assert all(len(half.class_names) == len(set(half.labels or ())) == 51 for half in halves)
        names = [[f"{entry.name}.avi" for entry in half.entries] for half in halves]
        groups = source_groups(names[0] + names[1], official("hmdb51").group_pattern)
        assert groups.max() + 1 < 2300
        assert not set(groups[:3570]) & set(groups[3570:])
