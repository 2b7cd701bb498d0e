import hashlib
import logging

import pytest

from stica_pv.data.sources.video_list import VideoList, check_absent, list_hash, log_absent
from stica_pv.errors import UsageError


def test_list_hash_depends_on_names_labels_and_tags_and_not_on_the_root():
    def digest(root: str, **classes: object) -> str:
        return VideoList(
            (f"{root}/a.mp4", f"{root}/b.mp4"), classes.pop("labels", None), ("0", "1"), root, **classes
        ).list_hash

    assert digest("/x", labels=(0, 1)) == digest("/y", labels=(0, 1))
    kinds = [{"labels": (0, 1)}, {"labels": (1, 0)}, {}, {"tags": ((0,), (1,))}, {"tags": ((0, 1), (1,))}]
    assert len({digest("/x", **kind) for kind in kinds}) == len(kinds)
    names, labels = [f"{i}.mp4" for i in range(20_000)], [i % 7 for i in range(20_000)]
    expected = hashlib.sha256(repr((names, tuple(labels))).encode()).hexdigest()[:16]
    assert list_hash(names, labels) == expected  # in pieces, as of the whole text


@pytest.mark.parametrize("classes", [{"labels": (0,)}, {"labels": None, "tags": ((0,),)}])
def test_labels_of_another_number_than_paths_are_refused(classes):
    with pytest.raises(ValueError, match="2 paths and 1 labels do not fit"):
        VideoList(["a", "b"], class_names=("0",), root="", **classes)


def test_a_share_that_is_just_reached_is_allowed():
    check_absent(["a"], 4, source="s", root="r", max_share=0.25)
    check_absent([], 4, source="s", root="r", max_share=0.0)
    for absent, total, share in ((["a"], 4, 0.24), (["a"], 1, 1.0)):
        with pytest.raises(UsageError, match=f"1 of {total} videos of s are missing .*e.g. a; searched below r: check"):
            check_absent(absent, total, source="s", root="r", max_share=share)


def test_what_is_skipped_is_reported_with_three_names(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("stica_pv"), "propagate", True)
    log_absent(VideoList(["a"], None, (), ""), "the list")
    assert caplog.text == ""
    log_absent(VideoList(["a"], None, (), "", absent=("b", "c", "d", "e")), "the list")
    assert "4 of 5 videos of the list are missing (80.00%), e.g. b, c, d; they are skipped" in caplog.text
