from pathlib import Path

import pytest
from made_media import SAMPLE_DATA
from small_sets import ANNOTATIONS, listing, needs_annotations, official, read, write

from stica_pv.data.sources.groups import source_groups
from stica_pv.errors import UsageError

HEADING = "filename,fold,target,category,esc10,src_file,take\n"


def test_the_published_list_has_five_folds_of_400():
    if not ANNOTATIONS.is_dir():
        pytest.skip("the published lists are not here")
    for fold in "12345":
        mine, others = (listing("esc50", ANNOTATIONS / "esc50", f"{kind}{fold}") for kind in ("fold", "not"))
        assert (len(mine.entries), len(others.entries)) == (400, 1600)
        assert not {e.name for e in mine.entries} & {e.name for e in others.entries}
        assert all(entry.stems[0].startswith(fold) for entry in mine.entries)
        assert sorted(mine.labels or ()) == sorted(list(range(50)) * 8)
        assert mine.class_names[0] == "dog"
        assert len(listing("esc10", ANNOTATIONS / "esc50", f"fold{fold}").entries) == 80


@needs_annotations
def test_sources_are_the_recordings_that_the_list_names():
    lines = (ANNOTATIONS / "esc50" / "esc50.csv").read_text().splitlines()[1:]
    names = [f"audio/{line.split(',')[0]}" for line in lines]
    groups = source_groups(names, official("esc50").group_pattern)
    source_of = {group: line.split(",")[5] for group, line in zip(groups.tolist(), lines, strict=True)}
    assert [source_of[group] for group in groups.tolist()] == [line.split(",")[5] for line in lines]
    assert len(source_of) == len({line.split(",")[5] for line in lines}) == 1524


def test_the_ten_classes_are_numbered_in_the_order_of_the_fifty(tmp_path: Path):
    if not (SAMPLE_DATA / "esc10").is_dir():
        pytest.skip("the recordings are not here")
    found = read("esc10", SAMPLE_DATA / "esc10", "fold3")
    assert len(found) == 80
    assert sorted(found.labels or ()) == sorted(list(range(10)) * 8)
    assert found.class_names[:3] == ("dog", "rooster", "rain")
    assert all(name.startswith("audio/3-") for name in found.names)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1-1-A-0.wav,6,0,dog,True,1,A\n", "1-1-A-0.wav: expected a fold 1 to 5 and a target 0, 1, 2, …, got 6 and 0"),
        ("1-1-A-0.wav,1,x,dog,True,1,A\n", "got 1 and x"),
        ("1-1-A-0.wav,1,0,dog,True,1,A\n", "expected 50 classes, got 1"),
    ],
)
def test_a_wrong_list_says_what_was_expected(tmp_path: Path, row: str, message: str):
    with pytest.raises(UsageError, match=message):
        read("esc50", write(tmp_path, {"meta/esc50.csv": HEADING + row}, ["audio/1-1-A-0.wav"]), "fold1")
