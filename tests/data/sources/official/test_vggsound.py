from pathlib import Path

import pytest
from small_sets import labeled_names, read, write

from stica_pv.errors import UsageError

LIST = (
    '---g-f_I2yQ,1,people marching,test\naaaaaaaaaaa,30,"mouse, clicking",train\nbbbbbbbbbbb,0,people marching,train\n'
)


def test_rows_have_no_heading_and_a_quoted_class_may_hold_a_comma(tmp_path: Path):
    root = write(tmp_path, {"vggsound.csv": LIST}, ["aaaaaaaaaaa_000030.mp4", "v/bbbbbbbbbbb_0.mp4", "---g-f_I2yQ.mkv"])
    assert labeled_names(read("vggsound", root, "train")) == {
        "aaaaaaaaaaa_000030.mp4": "mouse, clicking",
        "v/bbbbbbbbbbb_0.mp4": "people marching",
    }
    assert read("vggsound", root, "train").labels == (0, 1)
    test = read("vggsound", root, "test")
    assert (test.labels, test.class_names) == ((1,), ("mouse, clicking", "people marching"))
    assert test.names == ("---g-f_I2yQ.mkv",)


@pytest.mark.parametrize("row", ["a,1,b\n", "a,1,b,val\n", "a,x,b,train\n"])
def test_a_wrong_row_is_reported_with_its_line(tmp_path: Path, row: str):
    with pytest.raises(UsageError, match=r"vggsound.csv, line 4: expected"):
        read("vggsound", write(tmp_path, {"vggsound.csv": LIST + row}, ["a.mp4"]), "train")
