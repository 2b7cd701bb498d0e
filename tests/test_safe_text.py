"""Names of files and classes that attack a terminal or a spreadsheet."""

import csv
import io
import logging
from pathlib import Path

import pytest

from stica_pv.command_line import PrintableFormatter, exit_code
from stica_pv.data.conversion.conversion_log import open_conversion_log, write_failures
from stica_pv.data.manifest.bad_files import BadFiles, lasting_failures, read_bad_files
from stica_pv.data.manifest.manifest_csv import append_media_info, load_media_info
from stica_pv.data.manifest.media_info import MediaInfo
from stica_pv.data.manifest.overview import describe_exclusions
from stica_pv.data.sources.video_list import check_absent
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.launch.logs import set_up_logging
from stica_pv.report.data_page import DataCheck, data_csv
from stica_pv.safe_text import csv_cells, csv_texts, printable
from stica_pv.structures import ReadFailure

FORMULAS = ["=1+2", "+1", "-1", "@sum", "\t=1", "\r=1", "\n=1"]
NAMES = [*FORMULAS, "'=1", "''@", "'", "", "a=b", "'name'", "naïve.mp4", "a,b", 'a"=b']
EVIL = "a\x1b[2Jb\nc\rd\udc80\u202e.mp4"


@pytest.mark.parametrize("name", NAMES)
def test_a_cell_begins_like_no_formula_and_is_read_back(name: str):
    (cell,) = csv_cells([name])
    assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n") or cell == ""
    assert csv_texts([cell]) == [name]


def test_other_cells_stay_as_they_are():
    cells = [-1, 0.5, None, "a=b", "'name'", "clip.mp4", ""]
    assert csv_cells(cells) == cells


def cells_of(text: str) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


def assert_no_formula(text: str) -> None:
    assert [cell for cell in cells_of(text) if cell.startswith(("=", "+", "@", "-", "\t", "\r", "\n"))] == []


def test_every_csv_that_names_files_holds_no_formula_and_is_read_back(tmp_path: Path):
    names = [*FORMULAS[:4], "'=1", "clip.mp4"]
    failures = [ReadFailure(name, "-broken") for name in names]
    bad = BadFiles(tmp_path / "bad_files.csv", 1000, 0.5)
    bad.begin(failures[:3])
    bad.report(4, failures[3:])
    bad.begin(failures[:3])  # as on a resume, which keeps the others
    found = read_bad_files(bad.path)
    assert sorted(row["path"] for row in found) == sorted(names)
    assert {row["cause"] for row in found} == {"-broken"}
    assert lasting_failures(bad.path) == {}

    manifest = tmp_path / "manifest.csv"
    append_media_info(manifest, [MediaInfo(name, 1, -2, error="=x") for name in names])
    assert [(one.path, one.mtime_ns, one.error) for one in load_media_info(manifest)] == [
        (name, -2, "=x") for name in names
    ]

    with open_conversion_log(tmp_path / "receipts.csv") as receipts:
        receipts.add(("=1", "1", "2", "abc"), 7)
    with open_conversion_log(tmp_path / "receipts.csv") as receipts:
        assert receipts.known == {("=1", "1", "2", "abc"): 7}
    write_failures(tmp_path / "failures.csv", {name: "=cause" for name in names})
    for path in (bad.path, tmp_path / "receipts.csv", tmp_path / "failures.csv"):
        assert_no_formula(path.read_text())
    assert "=x" not in [cell for cell in cells_of(manifest.read_text()) if cell.startswith("=")]

    check = DataCheck("", "", [], [ReadFailure("a", "@cause")], [], [("=class", 3)], [], None, 0, 0)
    assert_no_formula(data_csv(check))


def test_names_come_in_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]):
    shown = printable(EVIL)
    assert shown == r"a\x1b[2Jb\nc\rd\udc80\u202e.mp4"
    assert str(UnreadableClip(EVIL, "gone")) == f"{shown}: gone"
    lines = describe_exclusions([ReadFailure(EVIL, "too short")], 2).split("\n")
    assert lines[1:] == ["  1: too short", f"    {shown}"]
    with pytest.raises(UsageError) as raised:
        check_absent([EVIL], 2, source="s", root="r", max_share=0.0)
    assert shown in str(raised.value)

    def fail() -> None:
        raise UsageError(f"{EVIL} is wrong")

    assert exit_code(fail) == 2
    assert capsys.readouterr().err == f"error: {shown} is wrong\n"


def test_the_log_of_a_run_escapes_control_characters_and_keeps_the_lines_of_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    log = logging.getLogger("stica_pv")
    before = log.handlers[:], log.level, log.propagate
    try:
        set_up_logging(str(tmp_path), 0)
        log.info("table\n%s", f"row of {EVIL}\nlast row")
    finally:
        log.handlers[:], log.level, log.propagate = before
    out, written = capsys.readouterr().out, (tmp_path / "stdout.log").read_text()
    for text in (out, written):
        assert r"row of a\x1b[2Jb" in text
        assert text.splitlines()[-1] == "last row"
        assert "\x1b" not in text
    record = logging.makeLogRecord({"msg": "%s", "args": ("é — ×",)})
    assert PrintableFormatter().format(record) == "é — ×"
