"""The modality that the labels of a class were made from, read from a csv with the columns class and source."""

from collections.abc import Sequence

from iopath.common.file_io import g_pathmgr

from stica_pv.data.sources.official.list_files import csv_columns
from stica_pv.errors import UsageError, nearest

KEY = "TEST.LABEL_SOURCES"
LABEL_SOURCES = ("audio", "video", "both")


def read_label_sources(path: str, class_names: Sequence[str]) -> tuple[str, ...]:
    """Return the source of each class, "" for classes that the file does not name.

    Args:
        path: csv whose first line names the columns ``class`` and ``source``; further columns are ignored.
        class_names: Names of the classes by label.

    Raises:
        UsageError: The file is missing, or names an unknown source or class, or a class twice.
    """
    if not g_pathmgr.isfile(path):
        raise UsageError(f"{KEY}: there is no file {path}; set it to a csv with the columns class and source")
    columns = csv_columns(path, ("class", "source"))
    known = set(class_names)
    found: dict[str, str] = {}
    for name, source in zip(columns["class"], columns["source"], strict=True):
        if source not in LABEL_SOURCES:
            raise UsageError(f"{KEY}: {path}: {name}: expected {', '.join(LABEL_SOURCES)}, got {source!r}")
        if name not in known:
            raise UsageError(
                f"{KEY}: {path}: the data set has no class {name!r}{nearest(name, class_names)}; remove the line"
            )
        if name in found:
            raise UsageError(f"{KEY}: {path}: the class {name!r} has several lines; keep one")
        found[name] = source
    return tuple(found.get(name, "") for name in class_names)
