"""Copies lists of a converted data set: the same lines with the new names of the files."""

import logging
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from stica_pv.data.sources.list_text import open_list
from stica_pv.data.sources.media_endings import is_media
from stica_pv.data.sources.media_folder import real_folders
from stica_pv.errors import UsageError

_LOG = logging.getLogger(__name__)

_LISTS = (".csv", ".txt", ".tsv")


def lists_below(root: Path) -> Iterator[str]:
    """Yield the names of all potential lists below a folder, relative to it."""
    for base, files in real_folders(str(root)):
        yield from (os.path.relpath(os.path.join(base, name), root) for name in files if name.endswith(_LISTS))


def copy_list(
    list_name: str, source: Path, target: Path, *, names: Mapping[str, str], dropped: Collection[str]
) -> bool:
    """Write a list with the new names.

    Args:
        list_name: The list relative to `source`; its lines name media files relative to it or to `source`.
        source: Folder of the old files.
        target: Folder of the new files.
        names: New name by old name.
        dropped: Old names whose lines are dropped.

    Returns:
        Whether the list names any of the files; otherwise nothing is written.
    """
    folder = os.path.dirname(list_name)
    lines: list[str] = []
    hits = 0
    try:
        with open_list(str(source / list_name)) as file:
            text = file.read()
    except UsageError as error:  # in UTF-16; the file may not be a list at all
        _LOG.warning("not copied: %s", error)
        return False
    for line in text.splitlines():
        written, name, base = _named(line, folder, source, names)
        hits += bool(name)
        if not name:
            lines.append(line)
        elif name not in dropped:
            lines.append(line.replace(written, os.path.relpath(names[name], base or "."), 1))
    if hits:
        new = target / list_name
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    return hits > 0


def _named(line: str, folder: str, source: Path, names: Mapping[str, str]) -> tuple[str, str, str]:
    """Find the media file at the start of a line; names may contain separators.

    Returns:
        The name as written, its name below the source, and the folder that it is relative to: the list's folder, or ""
        for the source. Three times "" if there is none.
    """
    line = line.strip()
    ends = [len(line), *(at for at in range(len(line) - 1, 0, -1) if line[at] in " ,;\t")]
    for end in ends:
        written = line[:end].strip()
        if not is_media(written):
            continue
        for base in (folder, ""):
            # Joining keeps an absolute name unchanged.
            name = os.path.relpath(os.path.join(source, base, written), source)
            if name in names:
                return written, name, base
    return "", "", ""
