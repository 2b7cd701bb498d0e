"""Something made of every file of a data set: under which name, in parallel, resumable, every failure named.

A low-resolution copy of each (transcode.py) is one such conversion, its optical flow (optical_flow.py) another.
"""

import errno
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stica_pv.data.conversion.conversion_log import (
    ConversionName,
    failures_name,
    is_note,
    open_conversion_log,
    receipt_of,
    receipts_name,
    write_failures,
)
from stica_pv.data.conversion.copied_lists import copy_list, lists_below
from stica_pv.data.conversion.transcode import transcode
from stica_pv.data.isolation.isolated import run_isolated
from stica_pv.data.sources.sources import read_csv, read_folder
from stica_pv.errors import UnreadableClip, UsageError

_LOG = logging.getLogger(__name__)

_PROGRESS_S = 10.0
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # no source that is read gives these

Convert = Callable[[str, Path, Any], None]


@dataclass(frozen=True)
class Conversion:
    """What is made of each file.

    Attributes:
        name: Begins the names of the receipts and of the list of failures in the target.
        extension: Of the new files.
        convert: Makes one, of (source, target, settings); a function of a module that raises `UnreadableClip`.
        lists: Whether lists of the files are written with the new names as well.
    """

    name: ConversionName
    extension: str
    convert: Convert
    lists: bool = True

    @property
    def receipts(self) -> str:
        """Name of the list of what is done."""
        return receipts_name(self.name)

    @property
    def failures(self) -> str:
        """Name of the list of failures."""
        return failures_name(self.name)


TRANSCODING = Conversion("transcode", ".mp4", transcode)


@dataclass(frozen=True)
class CopyPlan:
    """What is copied.

    Attributes:
        conversion: How.
        source: Folder that the names are relative to.
        target: Folder of the copy.
        names: New name by old name, of each media file.
        lists: Lists relative to `source`, whose lines name media files relative to the list or to `source`.
    """

    conversion: Conversion
    source: Path
    target: Path
    names: Mapping[str, str]
    lists: tuple[str, ...]


@dataclass(frozen=True)
class CopyReport:
    """What became of a copy.

    Attributes:
        copied: Old names of the files copied now.
        kept: Old names of the files that an earlier run had finished.
        failures: Cause by old name.
        lists: Number of lists written.
    """

    copied: tuple[str, ...]
    kept: tuple[str, ...]
    failures: Mapping[str, str]
    lists: int


def plan_copy(source: str, target: str, separator: str = " ", conversion: Conversion = TRANSCODING) -> CopyPlan:
    """Finds what is to be copied and checks that the target is free for it.

    Args:
        source: A folder, all media files and lists below it; or one list of ``path label`` lines.
        target: A new or empty folder, or one that an earlier run began.
        separator: Stands between path and label in a list that is given as `source`.
        conversion: What is to be made.

    Raises:
        UsageError: There is nothing to copy, names lead out of the source, or the target holds other things.
    """
    is_list = os.path.isfile(source)
    found = read_csv(path=source, separator=separator) if is_list else read_folder(path=source)
    root = Path(source).parent if is_list else Path(source)
    folder = Path(target)
    _check_target(root.resolve(), folder.resolve(), conversion.receipts)
    names = list(dict.fromkeys(os.path.normpath(name) for name in found.names))
    for name in names:
        if os.path.isabs(name) or name.startswith("..") or "://" in name:
            raise UsageError(
                f"{source} names {name}, which is not below its folder; the copy keeps relative names only"
            )
    lists: tuple[str, ...] = ()
    if conversion.lists:
        lists = (Path(source).name,) if is_list else tuple(sorted(lists_below(root)))
        lists = tuple(name for name in lists if not is_note(name))
    return CopyPlan(conversion, root, folder, _new_names(names, conversion.extension), lists)


def _check_target(source: Path, target: Path, receipts: str) -> None:
    if target == source or source in target.parents:
        raise UsageError(f"the target {target} lies in the source {source}; choose a folder outside it")
    if target.is_file():
        raise UsageError(f"the target {target} is a file, a folder is needed")
    if target.is_dir() and any(target.iterdir()) and not (target / receipts).is_file():
        raise UsageError(f"the target {target} holds other things (no {receipts}); choose a new or empty folder")


def _new_names(names: Sequence[str], extension: str) -> dict[str, str]:
    """Gives each file the extension; where two would then be one, those that have another keep theirs before it."""
    plain = {name: os.path.splitext(name)[0] + extension for name in names}
    count = Counter(plain.values())
    new = {name: f"{name}{extension}" if count[to] > 1 and name != to else to for name, to in plain.items()}
    doubled = [name for name, times in Counter(new.values()).items() if times > 1]
    if doubled:
        raise UsageError(f"several files would be called {doubled[0]} in the copy; rename one of them")
    return new


def make_copy(plan: CopyPlan, settings: Any, *, processes: int, limit_s: int = 600) -> CopyReport:
    """Copies what is not there yet; a run that is stopped goes on where it was.

    Args:
        plan: What to copy.
        settings: Of the conversion; files that were made with others (another `repr`) are made anew.
        processes: How many files at a time, each in a process of its own.
        limit_s: Longest time for a file, in seconds.

    Raises:
        UsageError: A number is wrong, the target cannot be written (lists are then left as they are), or another
            command writes there.
    """
    if processes < 1 or limit_s < 1:
        raise UsageError(f"expected processes and limit_s >= 1, got {processes} and {limit_s}")
    try:
        return _make_copy(plan, settings, processes, limit_s)
    except OSError as error:
        raise UsageError(f"cannot write to {plan.target}: {error.strerror or error}") from error


def _make_copy(plan: CopyPlan, settings: Any, processes: int, limit_s: int) -> CopyReport:
    plan.target.mkdir(parents=True, exist_ok=True)
    with open_conversion_log(plan.target / plan.conversion.receipts) as receipts:
        for part in plan.target.rglob(".*.part"):
            part.unlink()
        keys = {name: receipt_of(plan.source / name, name, settings) for name in plan.names}
        made = {name: _is_made(plan.target / plan.names[name], receipts.known.get(key)) for name, key in keys.items()}
        wanted = [name for name, is_made in made.items() if not is_made]
        targets = {name: plan.target / plan.names[name] for name in wanted}
        jobs = {name: (plan.conversion.convert, str(plan.source / name), targets[name], settings) for name in wanted}
        for target in targets.values():
            target.unlink(missing_ok=True)  # of an older source or other settings
        copied: list[str] = []
        failures: dict[str, str] = {}
        last = time.monotonic()
        for name, cause in run_isolated(_convert, jobs, processes=processes, limit_s=limit_s):
            if cause:
                failures[name] = cause
            else:
                copied.append(name)
                receipts.add(keys[name], targets[name].stat().st_size)
            if time.monotonic() - last >= _PROGRESS_S:
                last = time.monotonic()
                _LOG.info("%d of %d files done, %d failed", len(copied), len(jobs), len(failures))
        write_failures(plan.target / plan.conversion.failures, failures)
        lists = (copy_list(at, plan.source, plan.target, names=plan.names, left_out=failures) for at in plan.lists)
        return CopyReport(tuple(copied), tuple(name for name in made if made[name]), failures, sum(lists))


def _convert(convert: Convert, source: str, target: Path, settings: Any) -> str:
    """Converts one file; returns the cause of a failure, or an empty string.

    Raises:
        OSError: The target takes no more, whatever the source.
    """
    try:
        convert(source, target, settings)
    except UnreadableClip as error:
        _check_room(error)
        return error.cause
    except Exception as error:  # one file in a million must not end a run of days; its cause stands in the list
        _check_room(error)
        return f"unexpected {type(error).__name__}: {error}"
    return ""


def _check_room(error: BaseException) -> None:
    """Raises `OSError` if there is no room for files behind an error."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError) and behind.errno in _NO_ROOM:
            raise OSError(behind.errno, os.strerror(behind.errno)) from error
        behind = behind.__cause__ or behind.__context__


def _is_made(target: Path, size: int | None) -> bool:
    return size is not None and target.is_file() and target.stat().st_size == size
