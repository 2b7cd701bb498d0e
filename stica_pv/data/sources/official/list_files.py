"""Finds and reads the list files of published data sets; errors name file and line."""

import csv
import json
from collections.abc import Iterator, Sequence
from typing import Any

from iopath.common.file_io import g_pathmgr

from stica_pv.data.sources.list_text import open_list
from stica_pv.data.sources.media_folder import join
from stica_pv.errors import UsageError


def find_list(folder: str, names: Sequence[str], subfolders: Sequence[str] = ()) -> str:
    """Return the first of some files that exists.

    Args:
        folder: Folder of the data set.
        names: Possible names of the file.
        subfolders: Folders below `folder` that may contain the file, in addition to `folder` itself.

    Raises:
        UsageError: None of the files exists.
    """
    found = first_list(folder, names, subfolders)
    if found is None:
        where = " or ".join([folder, *(f"{subfolder}/ in it" for subfolder in subfolders)])
        raise UsageError(f"there is no {names[0]} in {where}; set DATA.PATH_TO_DATA_DIR to the folder of the lists")
    return found


def first_list(folder: str, names: Sequence[str], subfolders: Sequence[str] = ()) -> str | None:
    """Return the first of some files that exists, None if none does; see `find_list`."""
    paths = (
        join(join(folder, subfolder) if subfolder else folder, name)
        for subfolder in ("", *subfolders)
        for name in names
    )
    return next((path for path in paths if g_pathmgr.isfile(path)), None)


def csv_rows(path: str, *, comment: str = "") -> Iterator[tuple[str, list[str]]]:
    """Yield the cells of each row of a csv, after the words that name its subfolder.

    Args:
        path: The csv; cells may be quoted, spaces after a comma are dropped.
        comment: Rows that begin with this are skipped.

    Raises:
        UsageError: There is no row.
    """
    empty = True
    with open_list(path, newline="") as file:
        reader = csv.reader(file, skipinitialspace=True)
        for row in reader:
            if row and not (comment and row[0].startswith(comment)):
                empty = False
                yield f"{path}, line {reader.line_num}", row
    if empty:
        raise UsageError(f"the list {path} is empty")


def csv_columns(path: str, needed: Sequence[str], optional: Sequence[str] = ()) -> dict[str, list[str]]:
    """Return columns of a csv by the names in its first row; of the `optional` columns those that exist.

    Raises:
        UsageError: A needed column is missing, or a row has a different number of cells than the first.
    """
    rows = csv_rows(path)
    _, header = next(rows)
    missing = [name for name in needed if name not in header]
    if missing:
        raise UsageError(
            f"{path}: its first line lacks the column {missing[0]!r}, got {','.join(header)!r}; "
            "expected the published list (DATASET csv reads lists of lines 'path label')"
        )
    columns: dict[str, list[str]] = {name: [] for name in (*needed, *optional) if name in header}
    cells = [(columns[name], header.index(name)) for name in columns]
    for where, row in rows:
        if len(row) != len(header):
            raise UsageError(f"{where}: expected {len(header)} cells {','.join(header)!r}, got {','.join(row)!r}")
        for column, index in cells:
            column.append(row[index])
    return columns


def whole(text: str, where: str) -> int:
    """Return a whole number from its text, which may be "30.000"."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (number >= 0 and number.is_integer()):
        raise UsageError(f"{where}: expected a whole number of seconds, got {text!r}")
    return int(number)


def read_json(path: str) -> Any:
    """Return the content of a JSON file; raise `UsageError` if it is none."""
    with open_list(path) as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise UsageError(f"{path}: not valid JSON: {error}") from error


def label_in(names: dict[str, int], name: str, where: str) -> int:
    """Return the label of a class; raise `UsageError` if it is not among `names`."""
    if name not in names:
        raise UsageError(f"{where}: the class {name!r} is not among the {len(names)} known ones")
    return names[name]
