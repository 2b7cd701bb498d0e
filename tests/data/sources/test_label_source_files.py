"""The sources of labels are read by class name, and wrong files are refused in one line."""

from pathlib import Path

import pytest

from stica_pv.data.sources.label_sources import read_label_sources
from stica_pv.errors import UsageError

NAMES = ("dog barking", "juggling", "playing, loudly", "rain")


def test_sources_are_found_by_the_names_of_the_classes(tmp_path: Path):
    path = tmp_path / "classes.csv"
    path.write_text('id,class,source\n7,juggling,video\n1,"playing, loudly",both\n2,dog barking,audio\n')
    assert read_label_sources(str(path), NAMES) == ("audio", "video", "both", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class,source\nrain,ears\n", "rain: expected audio, video, both, got 'ears'"),
        ("class,source\njugling,video\n", r"no class 'jugling' \(did you mean juggling\?\)"),
        ("class,source\nrain,audio\nrain,both\n", "'rain' has several lines"),
        ("name,source\nrain,audio\n", "lacks the column 'class'"),
        ("class,source\nrain\n", "line 2: expected 2 cells"),
        ("", "is empty"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, text: str, message: str):
    path = tmp_path / "classes.csv"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as raised:
        read_label_sources(str(path), NAMES)
    assert str(path) in str(raised.value)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="missing"):
        read_label_sources(str(tmp_path / "missing.csv"), NAMES)
