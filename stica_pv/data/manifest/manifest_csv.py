"""The manifest on disk: a csv of facts that grows by whole lines, may be torn, and is read in columns."""

import contextlib
import csv
import io
import os
from collections.abc import Iterable
from dataclasses import astuple
from itertools import groupby
from pathlib import Path

from stica_pv.data.manifest.media_info import COLUMNS, MediaInfo, MediaInfoTable
from stica_pv.safe_text import csv_cells, csv_texts

_CODING = {"encoding": "utf-8", "errors": "surrogateescape"}
_CHARACTERS_AT_ONCE = 2**21
_ROWS_ONE_BY_ONE = 32
_HEADING = ",".join(COLUMNS) + "\n"


def load_media_info(path: Path) -> MediaInfoTable:
    """Returns the facts of a csv, oldest first; none if there is no such file.

    Lines that a killed run left unfinished, and those of other columns, are passed over.
    """
    table = MediaInfoTable()
    if not path.is_file():
        return table
    with path.open("r", newline="\n", encoding="utf-8-sig", errors="surrogateescape") as file:
        heading = file.readline()
        rest = "" if heading == _HEADING else heading
        while text := file.read(_CHARACTERS_AT_ONCE):
            whole, end, rest = (rest + text).rpartition("\n")
            if end:
                _extend(table, whole + end)
        # What is left is torn, or being written; cut before its error it would pass for good.
    return table


def _extend(table: MediaInfoTable, text: str) -> None:
    """Adds the facts of whole lines, in order."""
    text = text.replace("\r\n", "\n") if "\r" in text else text
    if '"' not in text:
        _extend_plain(table, text)
        return
    for quoted, run in groupby(text.split("\n")[:-1], _is_quoted):  # splitlines would end lines at other characters
        if quoted:
            _extend_rows(table, [next(csv.reader([line]), []) for line in run])
        else:
            _extend_plain(table, "".join(f"{line}\n" for line in run))


def _is_quoted(line: str) -> bool:
    return '"' in line


def _extend_plain(table: MediaInfoTable, text: str) -> None:
    """Adds lines without quotes: split all at once, as that makes no list for each."""
    width = len(COLUMNS) + 1  # with a cell that holds the end of the line, to see whether all have their width
    cells = text.replace("\n", ",\n,").split(",")
    cells.pop()
    lines = len(cells) // width
    if len(cells) == lines * width and cells[width - 1 :: width].count("\n") == lines:
        try:
            columns = [cells[first::width] for first in range(width - 1)]
            table.extend_from_text(list(map(csv_texts, columns)) if "'" in text else columns)
            return
        except ValueError:  # a torn number
            pass
    rows = text.split("\n")[:-1]
    if len(rows) > _ROWS_ONE_BY_ONE:  # some line is wrong, most are not
        for half in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
            _extend_plain(table, "".join(f"{row}\n" for row in half))
    else:
        _extend_rows(table, [row.split(",") for row in rows])


def _extend_rows(table: MediaInfoTable, rows: Iterable[list[str]]) -> None:
    for row in rows:
        if len(row) == len(COLUMNS):
            with contextlib.suppress(ValueError):
                table.extend_from_text([[cell] for cell in csv_texts(row)])


def append_media_info(path: Path, facts: Iterable[MediaInfo]) -> None:
    """Adds lines in one write, which processes that share the file do on a local disk one after the other."""
    rows = [astuple(one) for one in facts]
    if not rows:
        return
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(map(csv_cells, rows))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        content = (_heading(file) + text.getvalue()).encode(**_CODING)
        while content:
            content = content[file.write(content) or 0 :]


def _heading(file: io.FileIO) -> str:
    """Returns what goes before new lines: the header, or the end of a line that a killed run left unfinished."""
    if file.seek(0, os.SEEK_END) == 0:
        return _HEADING
    file.seek(-1, os.SEEK_END)
    return "" if file.read(1) == b"\n" else ",torn,\n"  # in no column where it would pass for a fact
