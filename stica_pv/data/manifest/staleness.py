"""Which files have changed since their facts were read: a look at the size and the time of change of each."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from stica_pv.data.decoding.container import size_and_mtime
from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.errors import UnreadableClip

_STATS_AT_ONCE = 1000
_STAT_THREADS = 32  # looking at sizes waits for a networked disk and for nothing else
_SLOW_STAT_S = 1e-4  # a disk of this machine answers in a fiftieth of it, and threads would only be in each other's way
_TRIALS = 2  # the first look may find the disk asleep, or the machine busy


def stamp(path: str) -> tuple[int, int]:
    """Returns size in bytes and time of change in ns of a file or URI; 0, 0 if it cannot be found."""
    try:
        if ":" in path:  # may be a URI, or a file in a shard
            return size_and_mtime(path)
        status = os.stat(path)
    except (OSError, UnreadableClip):
        return 0, 0
    return status.st_size, status.st_mtime_ns


def changed_files(table: MediaInfoTable, paths: Sequence[str], rows: Sequence[int | None]) -> list[int]:
    """Looks at every file that a table knows.

    Args:
        table: Facts.
        paths: Files or URIs.
        rows: Where the facts of each stand in the table, None if they do not.

    Returns:
        Positions in `paths` of files whose size or time of change is another now, or that are gone.
    """
    sizes, mtimes = table.column("size_bytes"), table.column("mtime_ns")

    def clip_format(begin: int) -> list[int]:
        part = slice(begin, begin + _STATS_AT_ONCE)
        return [
            place
            for place, (path, row) in enumerate(zip(paths[part], rows[part], strict=True), start=begin)
            if row is not None and stamp(path) != (sizes[row], mtimes[row])
        ]

    begins = range(0, len(paths), _STATS_AT_ONCE)
    trials = [_timed(clip_format, begin) for begin in begins[:_TRIALS]]
    changed = [place for found, _ in trials for place in found]
    rest = begins[_TRIALS:]
    if min((seconds for _, seconds in trials), default=0.0) > _SLOW_STAT_S * _STATS_AT_ONCE:
        with ThreadPoolExecutor(max_workers=_STAT_THREADS) as pool:  # a networked disk: wait for many at once
            return changed + [place for found in pool.map(clip_format, rest) for place in found]
    return changed + [place for begin in rest for place in clip_format(begin)]


def _timed(clip_format: Callable[[int], list[int]], begin: int) -> tuple[list[int], float]:
    start = time.perf_counter()
    return clip_format(begin), time.perf_counter() - start
