"""Opening a list, local or behind a URI, as text; names of files may hold any bytes."""

import io
from typing import TextIO

from iopath.common.file_io import g_pathmgr


def open_list(path: str, *, newline: str | None = None) -> TextIO:
    """Opens a list to read it.

    Bytes that are no UTF-8 come as Python's file system calls give and take them, so that such a name opens its file.

    Args:
        path: A file or URI.
        newline: As for `open`.
    """
    # Opened as bytes, since handlers of URIs take no encoding.
    return io.TextIOWrapper(g_pathmgr.open(path, "rb"), encoding="utf-8", errors="surrogateescape", newline=newline)
