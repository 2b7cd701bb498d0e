"""The list is read, and a wrong one is one line."""

from pathlib import Path

import pytest
from stica_pv_example.json_lines import read_json_lines

from stica_pv.errors import UsageError


def test_files_and_classes_are_read(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text('{"file": "b.mp4", "class": "piano"}\n{"file": "a.mp4", "class": "drums"}\n')
    found = read_json_lines(path=str(tmp_path))
    assert [Path(path).name for path in found.paths] == ["b.mp4", "a.mp4"]
    assert list(found.labels or ()) == [1, 0]


@pytest.mark.parametrize("line", ["b.mp4 1", '["b.mp4"]', '{"file": "b.mp4"}'])
def test_a_malformed_line_is_named(tmp_path: Path, line: str):
    (tmp_path / "train.jsonl").write_text(f'{{"file": "a.mp4", "class": "drums"}}\n{line}\n')
    with pytest.raises(UsageError, match="train.jsonl, line 2: expected "):
        read_json_lines(path=str(tmp_path))


def test_a_missing_list_is_named(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no such list; set DATA.PATH_TO_DATA_DIR"):
        read_json_lines(path=str(tmp_path), split="test")
