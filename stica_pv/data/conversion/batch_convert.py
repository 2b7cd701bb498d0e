"""Converts every file of a data set: in parallel, resumable, and with the cause of each failure.

Examples are low-resolution copies (transcode.py) and optical flow (optical_flow.py).
"""

import errno
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stica_pv.data.conversion.conversion_log import (
    ConversionName,
    failures_name,
    is_conversion_file,
    log_name,
    open_conversion_log,
    record_of,
    write_failures,
)
from stica_pv.data.conversion.copied_lists import copy_list, lists_below
from stica_pv.data.conversion.transcode import transcode
from stica_pv.data.isolation.worker_pool import answer_all
from stica_pv.data.isolation.worker_process import ENDED, WorkerFailure
from stica_pv.data.sources.sources import read_csv, read_folder
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.progress import Progress

_LOG = logging.getLogger(__name__)

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)  # never caused by reading a source

Convert = Callable[[str, Path, Any], None]


@dataclass(frozen=True)
class Conversion:
    """A conversion of files.

    Attributes:
        name: Prefix of the names of the log and of the list of failures in the target folder.
        extension: Extension of the new files.
        convert: Converts one file, given (source, target, settings); a module-level function that may raise
            `UnreadableClip`.
        lists: Whether lists of the files are also written, with the new names.
    """

    name: ConversionName
    extension: str
    convert: Convert
    lists: bool = True

    @property
    def log(self) -> str:
        """Name of the log of converted files."""
        return log_name(self.name)

    @property
    def failures(self) -> str:
        """Name of the list of failures."""
        return failures_name(self.name)


TRANSCODING = Conversion("transcode", ".mp4", transcode)


@dataclass(frozen=True)
class ConversionPlan:
    """Files to convert.

    Attributes:
        conversion: The conversion.
        source: Folder that the names are relative to.
        target: Folder of the new files.
        names: New name of each media file, by its old name.
        lists: Lists relative to `source`, whose lines name media files relative to the list or to `source`.
    """

    conversion: Conversion
    source: Path
    target: Path
    names: Mapping[str, str]
    lists: tuple[str, ...]


@dataclass(frozen=True)
class ConversionReport:
    """Result of a conversion.

    Attributes:
        copied: Old names of the files converted in this run.
        kept: Old names of the files converted by an earlier run.
        failures: Cause of each failure, by old name.
        lists: Number of lists written.
    """

    copied: tuple[str, ...]
    kept: tuple[str, ...]
    failures: Mapping[str, str]
    lists: int


def plan_conversion(
    source: str, target: str, separator: str = " ", conversion: Conversion = TRANSCODING
) -> ConversionPlan:
    """Find the files to convert and check the target folder.

    Args:
        source: A folder with media files and lists, or one list of ``path label`` lines.
        target: A new or empty folder, or the target of an earlier run.
        separator: Separator of path and label in a list that is given as `source`.
        conversion: The conversion.

    Raises:
        UsageError: There are no files, names point outside of the source, or the target holds other files.
    """
    is_list = os.path.isfile(source)
    found = read_csv(path=source, separator=separator) if is_list else read_folder(path=source)
    root = Path(source).parent if is_list else Path(source)
    folder = Path(target)
    _check_target(root.resolve(), folder.resolve(), conversion.log)
    names = list(dict.fromkeys(os.path.normpath(name) for name in found.names))
    for name in names:
        if os.path.isabs(name) or name.startswith("..") or "://" in name:
            raise UsageError(
                f"{source} names {name}, which is outside of its folder; use relative names below the folder"
            )
    lists: tuple[str, ...] = ()
    if conversion.lists:
        lists = (Path(source).name,) if is_list else tuple(sorted(lists_below(root)))
        lists = tuple(name for name in lists if not is_conversion_file(name))
    return ConversionPlan(conversion, root, folder, _new_names(names, conversion.extension), lists)


def _check_target(source: Path, target: Path, log: str) -> None:
    if target == source or source in target.parents:
        raise UsageError(f"the target {target} is inside the source {source}; choose a folder outside of it")
    if target.is_file():
        raise UsageError(f"the target {target} is a file, expected a folder")
    if target.is_dir() and any(target.iterdir()) and not (target / log).is_file():
        raise UsageError(f"the target {target} holds other files (no {log}); choose a new or empty folder")


def _new_names(names: Sequence[str], extension: str) -> dict[str, str]:
    """Replace the extension of each name; append it to names that would otherwise collide."""
    plain = {name: os.path.splitext(name)[0] + extension for name in names}
    count = Counter(plain.values())
    new = {name: f"{name}{extension}" if count[to] > 1 and name != to else to for name, to in plain.items()}
    doubled = [name for name, times in Counter(new.values()).items() if times > 1]
    if doubled:
        raise UsageError(f"several files would be named {doubled[0]} in the copy; rename one of them")
    return new


def convert_files(plan: ConversionPlan, settings: Any, *, processes: int, limit_s: int = 600) -> ConversionReport:
    """Convert all files that are not converted yet, so that an interrupted run can be continued.

    Args:
        plan: Files to convert.
        settings: Settings of the conversion; files made with others (another `repr`) are converted again.
        processes: Number of files at a time, each in a separate process (Linux; elsewhere one, in this process).
        limit_s: Time limit per file in seconds.

    Raises:
        UsageError: A number is wrong, the target cannot be written (lists are then not changed), or another command
            is writing there.
    """
    if processes < 1 or limit_s < 1:
        raise UsageError(f"expected processes and limit_s >= 1, got {processes} and {limit_s}")
    try:
        return _convert_files(plan, settings, processes, limit_s)
    except OSError as error:
        raise UsageError(f"cannot write to {plan.target}: {error.strerror or error}") from error


def _convert_files(plan: ConversionPlan, settings: Any, processes: int, limit_s: int) -> ConversionReport:
    plan.target.mkdir(parents=True, exist_ok=True)
    with open_conversion_log(plan.target / plan.conversion.log) as log:
        for partial in plan.target.rglob("*.partial"):
            partial.unlink()
        keys = {name: record_of(plan.source / name, name, settings) for name in plan.names}
        made = {name: _is_made(plan.target / plan.names[name], log.known.get(key)) for name, key in keys.items()}
        wanted = [name for name, is_made in made.items() if not is_made]
        targets = {name: plan.target / plan.names[name] for name in wanted}

        def convert(name: str) -> str:
            return _convert(plan.conversion.convert, str(plan.source / name), targets[name], settings)

        for target in targets.values():
            target.unlink(missing_ok=True)  # made from an older source or with other settings
        copied: list[str] = []
        failures: dict[str, str] = {}
        with Progress(plan.conversion.name, len(wanted)) as progress:
            for name, cause in _results(convert, wanted, processes, limit_s):
                if cause:
                    failures[name] = cause
                    progress.note(f"{len(failures)} failed")
                else:
                    copied.append(name)
                    log.add(keys[name], targets[name].stat().st_size)
                progress.add()
        write_failures(plan.target / plan.conversion.failures, failures)
        lists = (copy_list(at, plan.source, plan.target, names=plan.names, dropped=failures) for at in plan.lists)
        return ConversionReport(tuple(copied), tuple(name for name in made if made[name]), failures, sum(lists))


def _results(
    convert: Callable[[str], str], names: Sequence[str], processes: int, limit_s: int
) -> Iterator[tuple[str, str]]:
    """Yield (name, cause of its failure, or an empty string) as files are converted.

    Files whose process was killed from outside are repeated at the end, one at a time, as memory may have run out.
    """
    again: list[str] = []
    for name, result in answer_all(convert, names, processes=processes, timeout_s=limit_s):
        if isinstance(result, WorkerFailure) and result.cause == ENDED:
            again.append(name)
        else:
            yield name, result.cause if isinstance(result, WorkerFailure) else result
    for name, result in answer_all(convert, again, processes=1, timeout_s=limit_s):
        yield name, result.cause if isinstance(result, WorkerFailure) else result


def _convert(convert: Convert, source: str, target: Path, settings: Any) -> str:
    """Convert one file; return the cause of a failure, or an empty string.

    Raises:
        OSError: The target cannot be written, e.g. because the disk is full.
    """
    try:
        convert(source, target, settings)
    except UnreadableClip as error:
        _check_disk_full(error)
        return error.cause
    except Exception as error:  # one file in a million must not end a run of days; the cause is recorded
        _check_disk_full(error)
        return f"unexpected {type(error).__name__}: {error}"
    return ""


def _check_disk_full(error: BaseException) -> None:
    """Raise `OSError` if an error was caused by a full or read-only disk."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _DISK_FULL:
            raise OSError(cause.errno, os.strerror(cause.errno)) from error
        cause = cause.__cause__ or cause.__context__


def _is_made(target: Path, size: int | None) -> bool:
    return size is not None and target.is_file() and target.stat().st_size == size
