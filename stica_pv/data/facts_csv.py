"""The manifest on disk: a csv of facts that grows by whole lines, may be torn, and is read in columns."""

import contextlib
import csv
import io
import os
from collections.abc import Iterable
from dataclasses import astuple
from itertools import groupby, islice
from pathlib import Path

from stica_pv.data.facts import COLUMNS, FactTable, FileFacts

_CODING = {"encoding": "utf-8", "errors": "surrogateescape"}
_LINES_AT_ONCE = 8192


def load_facts(path: Path) -> FactTable:
    """Returns the facts of a csv, oldest first; none if there is no such file.

    Lines that a killed run left unfinished, and those of other columns, are passed over.
    """
    table = FactTable()
    if not path.is_file():
        return table
    with path.open("r", newline="\n", encoding="utf-8", errors="surrogateescape") as file:
        while lines := list(islice(file, _LINES_AT_ONCE)):
            if not lines[-1].endswith("\n"):  # torn, or being written; cut before its error it would pass for good
                lines.pop()
            for quoted, run in groupby(lines, _is_quoted):
                if quoted:
                    _extend(table, [next(csv.reader([line]), []) for line in run])
                else:
                    _extend_plain(table, list(run))
    return table


def _is_quoted(line: str) -> bool:
    return '"' in line


def _extend_plain(table: FactTable, lines: list[str]) -> None:
    """Adds lines without quotes: split all at once, as that makes no list for each."""
    width = len(COLUMNS)
    cells = ",".join(line.rstrip("\r\n") for line in lines if line.count(",") == width - 1).split(",")
    columns = [cells[first::width] for first in range(width)]
    try:
        table.extend_from_text(columns if len(cells) >= width else [])
    except ValueError:  # the header, or a torn number; the other lines count
        _extend(table, [line.rstrip("\r\n").split(",") for line in lines])


def _extend(table: FactTable, rows: Iterable[list[str]]) -> None:
    for row in rows:
        if len(row) == len(COLUMNS):
            with contextlib.suppress(ValueError):
                table.extend_from_text([[cell] for cell in row])


def append_facts(path: Path, facts: Iterable[FileFacts]) -> None:
    """Adds lines in one write, which processes that share the file do on a local disk one after the other."""
    rows = [astuple(one) for one in facts]
    if not rows:
        return
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        content = (_heading(file) + text.getvalue()).encode(**_CODING)
        while content:
            content = content[file.write(content) or 0 :]


def _heading(file: io.FileIO) -> str:
    """Returns what goes before new lines: the header, or the end of a line that a killed run left unfinished."""
    if file.seek(0, os.SEEK_END) == 0:
        return ",".join(COLUMNS) + "\n"
    file.seek(-1, os.SEEK_END)
    return "" if file.read(1) == b"\n" else ",torn,\n"  # in no column where it would pass for a fact
