"""Opens a list, local or behind a URI, as text; names of files may contain any bytes."""

import codecs
import io
from collections.abc import Iterator
from typing import TextIO

from iopath.common.file_io import g_pathmgr

from stica_pv.errors import UsageError

_OTHER_CODINGS = {
    codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16",
}  # fmt: skip
_LONGEST_MARK = 4  # bytes


def open_list(path: str, *, newline: str | None = None) -> TextIO:
    """Open a list for reading.

    Bytes that are not UTF-8 are decoded as in Python's file system calls, so that such a name can be opened. A
    byte-order mark, as written by Excel and Notepad, is dropped.

    Args:
        path: A file or URI.
        newline: Line ending; see `open`.

    Raises:
        UsageError: The list is in UTF-16 or UTF-32.
    """
    # Opened as bytes, since handlers of URIs take no encoding.
    file = g_pathmgr.open(path, "rb")
    start = file.read(_LONGEST_MARK)
    file.seek(0)
    for mark, coding in _OTHER_CODINGS.items():
        if start.startswith(mark):
            file.close()
            raise UsageError(f"{path} is in {coding}, expected UTF-8; save it as UTF-8")
    return io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=newline)


def numbered_lines(path: str) -> Iterator[tuple[str, str]]:
    """Yield (location for messages, stripped line) for each line that is not empty.

    Raises:
        UsageError: There is no such line.
    """
    empty = True
    with open_list(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                empty = False
                yield f"{path}, line {number}", line.strip()
    if empty:
        raise UsageError(f"the list {path} is empty")
