"""Files that commands write: whole or not at all, and one line where that fails."""

from pathlib import Path

import pytest

from stica_pv.commands.ablation import main as ablation
from stica_pv.commands.outputs import write_output, write_text
from stica_pv.errors import UsageError

GRID = "stica/ablations/controlled/grid"


def test_an_earlier_file_stays_until_the_new_one_is_complete(tmp_path: Path):
    path = tmp_path / "folder" / "table.md"
    write_text(path, "earlier")

    def fill_the_disk(partial: Path) -> None:
        partial.write_text("half of it")
        raise OSError(28, "No space left on device")

    with pytest.raises(UsageError, match=r"cannot write .*table\.md: No space left on device"):
        write_output(path, fill_the_disk)
    assert path.read_text() == "earlier"
    assert list(path.parent.iterdir()) == [path]


def test_the_page_of_an_ablation_is_written_with_its_chart_or_one_line_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("matplotlib", reason="needs the extra `report`")
    assert ablation([GRID, "--table", "--out", str(tmp_path / "page")]) == 0
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == ["ablation.md", "ablation.png"]
    (tmp_path / "file").write_text("")
    assert ablation([GRID, "--table", "--out", str(tmp_path / "file" / "page")]) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot write {tmp_path}/file/page/ablation.md: ")
