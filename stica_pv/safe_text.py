"""Makes text chosen by others, such as names of files and classes, safe for a terminal or a spreadsheet."""

from collections.abc import Iterable
from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # first characters of a cell that a spreadsheet evaluates
_MARK = "'"  # marks a cell as text in every spreadsheet


def printable(text: object) -> str:
    """Returns a text in one line; control characters and bytes that are not UTF-8 become Python's escapes."""
    shown = str(text)
    if shown.isprintable():
        return shown
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in shown)


def csv_cells(row: Iterable[Any]) -> list[Any]:
    """Returns the cells of a row for `csv.writer`; texts that a spreadsheet would evaluate get an apostrophe."""
    return [_MARK + cell if isinstance(cell, str) and _is_marked(cell) else cell for cell in row]


def csv_texts(cells: Iterable[str]) -> list[str]:
    """Returns the texts of a row that `csv_cells` made."""
    return [cell[1:] if cell.startswith(_MARK) and _is_marked(cell[1:]) else cell for cell in cells]


def _is_marked(text: str) -> bool:
    return text.lstrip(_MARK).startswith(_FORMULA)
