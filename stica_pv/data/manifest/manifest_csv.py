"""The manifest on disk: a csv of media information that grows by whole lines and is read column by column."""

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
_BLOCK_CHARACTERS = 2**21
_ROWS_ONE_BY_ONE = 32
_HEADING = ",".join(COLUMNS) + "\n"


def load_media_info(path: Path) -> MediaInfoTable:
    """Return the media information in a csv, oldest first; none if there is no such file.

    Incomplete lines of a killed run, and lines with other columns, are skipped.
    """
    table = MediaInfoTable()
    if not path.is_file():
        return table
    with path.open("r", newline="\n", encoding="utf-8-sig", errors="surrogateescape") as file:
        heading = file.readline()
        rest = "" if heading == _HEADING else heading
        while text := file.read(_BLOCK_CHARACTERS):
            whole, end, rest = (rest + text).rpartition("\n")
            if end:
                _extend(table, whole + end)
        # The rest is incomplete, or being written; a line without its error would count as a good file.
    return table


def _extend(table: MediaInfoTable, text: str) -> None:
    """Add whole lines, in order."""
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
    """Add lines without quotes; splits them all at once, to avoid a list for each."""
    width = len(COLUMNS) + 1  # with a cell for the end of the line, to check that all lines have the right width
    cells = text.replace("\n", ",\n,").split(",")
    cells.pop()
    lines = len(cells) // width
    if len(cells) == lines * width and cells[width - 1 :: width].count("\n") == lines:
        try:
            columns = [cells[first::width] for first in range(width - 1)]
            table.extend_from_text(list(map(csv_texts, columns)) if "'" in text else columns)
            return
        except ValueError:  # an incomplete number
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


def append_media_info(path: Path, infos: Iterable[MediaInfo]) -> None:
    """Add lines in one write; on a local disk, writes of several processes do not mix."""
    rows = [astuple(one) for one in infos]
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
    """Return the text before new lines: the header, or the end of an incomplete line of a killed run."""
    if file.seek(0, os.SEEK_END) == 0:
        return _HEADING
    file.seek(-1, os.SEEK_END)
    return "" if file.read(1) == b"\n" else ",torn,\n"  # makes the number of columns wrong, so the line is skipped
