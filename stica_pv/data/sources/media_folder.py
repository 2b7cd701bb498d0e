"""Finds media files below a folder, local or behind a URI."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from iopath.common.file_io import g_pathmgr

from stica_pv.data.sources.media_endings import ending_of, is_media
from stica_pv.errors import UsageError

_LOG = logging.getLogger(__name__)

_NAMED = 5  # number of extensions in a message


@dataclass
class _Listing:
    """Content of a folder.

    Attributes:
        folders: Sorted media files of each folder, by its path.
        others: Number of other files by extension.
        again: Links to folders that are already listed, and their targets.
    """

    folders: dict[str, list[str]] = field(default_factory=dict)
    others: Counter[str] = field(default_factory=Counter)
    again: dict[str, str] = field(default_factory=dict)


def join(root: str, name: str) -> str:
    """Return the path of a name below a folder; a URI unchanged."""
    return name if "://" in name else os.path.join(root, name)


def join_all(root: str, names: Sequence[str]) -> list[str]:
    """Return `join` of many names."""
    before, text = os.path.join(root, ""), "\n".join(("", *names))
    plain = "://" not in text and "\n/" not in text  # checks all names at once, ten times as fast as one by one
    return [before + name for name in names] if plain else [join(root, name) for name in names]


def listed(folder: str) -> list[str]:
    """Return the sorted names in a folder, without hidden ones."""
    return sorted(name for name in g_pathmgr.ls(folder) if not name.startswith("."))


def media_files(folder: str, again: dict[str, str] | None = None) -> list[str]:
    """Return the media files below a folder in a fixed order, and log the number of other files.

    Hidden files and folders are skipped. Links are followed, but each real folder is listed once.

    Args:
        folder: The folder.
        again: Output: links to folders that are already listed, and the names of these.

    Raises:
        UsageError: There are no media files.
    """
    found = _Listing(again={} if again is None else again)
    if "://" in folder:
        _list_remote(folder, found)
    else:
        for base, names in real_folders(folder, found.again):
            _sort_files(base, names, found)
    paths = [join(base, name) for base in sorted(found.folders, key=_parts) for name in found.folders[base]]
    others = ", ".join(f"{count} {ending or 'without'}" for ending, count in found.others.most_common(_NAMED))
    others = f"{found.others.total()} files with other endings ({others})" if found.others else "no other files"
    if not paths:
        raise UsageError(f"no media files in {folder}; there are {others}")
    if found.others:
        _LOG.info("%s: %d media files; %s are skipped", folder, len(paths), others)
    if found.again:
        link, target = next(iter(found.again.items()))
        loop = "a loop" if _is_above(target, link) else "a folder that is already listed"
        _LOG.warning(
            "%s: %d links are skipped, as each folder is listed once, e.g. %s, %s to %s",
            folder, len(found.again), link, loop, target,
        )  # fmt: skip
    return paths


def real_folders(root: str, again: dict[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    """Yield each real folder below a local one once, with the names of its files except hidden ones.

    Args:
        root: The folder.
        again: Output: links to folders that were already yielded, and the names of these.
    """
    again = {} if again is None else again
    visited: dict[tuple[int, int], str] = {}
    waiting = [root]
    while waiting:  # folders before links to them, so that names do not depend on the links
        links: list[str] = []
        for start in sorted(waiting):
            for base, folders, files in os.walk(start):
                known = visited.setdefault(_identity(base), base)
                if known != base:
                    folders.clear()
                    if base == start:
                        again[base] = known
                    continue
                folders[:] = sorted(name for name in folders if not name.startswith("."))
                links += [path for path in (os.path.join(base, name) for name in folders) if os.path.islink(path)]
                yield base, [name for name in files if not name.startswith(".")]
        waiting = links


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is_above(folder: str, path: str) -> bool:
    return path.startswith(os.path.join(folder, ""))


def _parts(folder: str) -> list[str]:
    return folder.split("/")


def _list_remote(folder: str, found: _Listing) -> None:
    names = listed(folder)
    folders = [name for name in names if not is_media(name) and g_pathmgr.isdir(join(folder, name))]
    _sort_files(folder, sorted(set(names) - set(folders)), found)
    for name in folders:
        _list_remote(join(folder, name), found)


def _sort_files(folder: str, names: Sequence[str], found: _Listing) -> None:
    """Add the media files of a folder, and count the others."""
    media = [name for name in names if is_media(name)]
    if media:
        found.folders[folder] = sorted(media)
    if len(media) < len(names):
        found.others.update(ending_of(name) for name in names if not is_media(name))


def check_set(path: str) -> None:
    """Raise `UsageError` if DATA.PATH_TO_DATA_DIR is empty."""
    if not path:
        raise UsageError("DATA.PATH_TO_DATA_DIR is not set: set it to the folder of the data set, or to its csv list")


def check_folder(path: str) -> None:
    """Raise `UsageError` if there is no such folder."""
    check_set(path)
    if g_pathmgr.isfile(path):
        raise UsageError(f"{path} is a file, expected a folder; the source 'csv' reads lists")
    if not g_pathmgr.isdir(path):
        raise UsageError(f"there is no folder {path}; check DATA.PATH_TO_DATA_DIR and the split")
