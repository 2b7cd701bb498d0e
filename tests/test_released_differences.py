"""`tools/released_differences.py` measures every kind of difference on any list of clips."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tiny_runs import REPOSITORY


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    tools = REPOSITORY / "tools"
    monkeypatch.setattr(sys, "path", [str(tools), *sys.path])
    spec = importlib.util.spec_from_file_location("released_differences", tools / "released_differences.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_difference_has_a_row(
    tool: ModuleType, clips_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = str(clips_folder / "clip00.mp4")
    assert tool.main([str(clips_folder / "train.csv"), "--clips", "2", "--large", large]) == 0
    rows = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    rows = {name: value.strip() for name, value in rows.items()}
    assert len(rows) == 15
    assert rows["GDT.NEGATIVES released"].startswith("h1 +0.000, h2 +0.000, h3 -0.1")
    assert rows["CLASSIFICATION.SHORT_VIDEOS repeat_last"] == "100.0% of the videos are shorter than 2 s"
    assert rows["DATA.DECODING_SHORT_SIZE 0"] == "0.00 gray levels"  # it is smaller than 256 pixels


def test_a_list_that_is_absent_is_named(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["absent.csv"]) == 2
    assert "absent.csv: there is no such file" in capsys.readouterr().err
