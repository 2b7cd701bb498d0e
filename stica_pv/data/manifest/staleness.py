"""Finds files that changed since their headers were read, by size and modification time."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from stica_pv.data.decoding.container import size_and_mtime
from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.errors import UnreadableClip

_PART_FILES = 1000
_STAT_THREADS = 32  # the calls only wait for a networked disk
_SLOW_STAT_S = 1e-4  # a local disk is fifty times as fast, and threads would only slow it down
_TIMED_PARTS = 2  # the first one may be slow because the disk or the machine is busy


def stamp(path: str) -> tuple[int, int]:
    """Return size in bytes and modification time in ns of a file or URI; 0, 0 if it is not found."""
    try:
        if ":" in path:  # may be a URI, or a file in a shard
            return size_and_mtime(path)
        status = os.stat(path)
    except (OSError, UnreadableClip):
        return 0, 0
    return status.st_size, status.st_mtime_ns


def changed_files(table: MediaInfoTable, paths: Sequence[str], rows: Sequence[int | None]) -> list[int]:
    """Check every file of a table.

    Args:
        table: Media information.
        paths: Files or URIs.
        rows: Row of each file in the table, None if it has none.

    Returns:
        Positions in `paths` of the files in the table whose size or modification time has changed, or that are missing.
    """
    sizes, mtimes = table.column("size_bytes"), table.column("mtime_ns")

    def changed_in(begin: int) -> list[int]:
        part = slice(begin, begin + _PART_FILES)
        return [
            position
            for position, (path, row) in enumerate(zip(paths[part], rows[part], strict=True), start=begin)
            if row is not None and stamp(path) != (sizes[row], mtimes[row])
        ]

    begins = range(0, len(paths), _PART_FILES)
    timed = [_timed(changed_in, begin) for begin in begins[:_TIMED_PARTS]]
    changed = [position for found, _ in timed for position in found]
    rest = begins[_TIMED_PARTS:]
    if min((seconds for _, seconds in timed), default=0.0) > _SLOW_STAT_S * _PART_FILES:
        with ThreadPoolExecutor(max_workers=_STAT_THREADS) as pool:  # a networked disk: wait for many files at once
            return changed + [position for found in pool.map(changed_in, rest) for position in found]
    return changed + [position for begin in rest for position in changed_in(begin)]


def _timed(changed_in: Callable[[int], list[int]], begin: int) -> tuple[list[int], float]:
    start = time.perf_counter()
    return changed_in(begin), time.perf_counter() - start
