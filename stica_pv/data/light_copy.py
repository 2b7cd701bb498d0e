"""A light copy of a whole data set: what to copy under which name, in parallel, resumable, every failure named."""

import csv
import hashlib
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stica_pv.data.isolated import run_isolated
from stica_pv.data.media_folder import MEDIA_EXTENSIONS
from stica_pv.data.sources import read_csv, read_folder
from stica_pv.data.transcode import TranscodeSettings, transcode
from stica_pv.errors import UnreadableClip, UsageError

_LOG = logging.getLogger(__name__)

RECEIPTS, FAILURES = "transcode_receipts.csv", "transcode_failures.csv"
_LISTS = (".csv", ".txt", ".tsv")
_PROGRESS_S = 10.0
_RECEIPT = ("name", "size_bytes", "mtime_ns", "settings", "target_bytes")

Receipts = dict[tuple[str, ...], int]


@dataclass(frozen=True)
class CopyPlan:
    """What is copied.

    Attributes:
        source: Folder that the names are relative to.
        target: Folder of the copy.
        names: New name by old name, of each media file.
        lists: Lists relative to `source`, whose lines name media files relative to the list or to `source`.
    """

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


def plan_copy(source: str, target: str, separator: str = " ") -> CopyPlan:
    """Finds what is to be copied and checks that the target is free for it.

    Args:
        source: A folder, all media files and lists below it; or one list of ``path label`` lines.
        target: A new or empty folder, or one that an earlier run began.
        separator: Stands between path and label in a list that is given as `source`.

    Raises:
        UsageError: There is nothing to copy, names lead out of the source, or the target holds other things.
    """
    is_list = os.path.isfile(source)
    found = read_csv(path=source, separator=separator) if is_list else read_folder(path=source)
    root = Path(source).parent if is_list else Path(source)
    folder = Path(target)
    _check_target(root.resolve(), folder.resolve())
    names = list(dict.fromkeys(os.path.normpath(name) for name in found.names))
    for name in names:
        if os.path.isabs(name) or name.startswith("..") or "://" in name:
            raise UsageError(
                f"{source} names {name}, which is not below its folder; the copy keeps relative names only"
            )
    lists = (Path(source).name,) if is_list else tuple(sorted(_lists_below(root)))
    return CopyPlan(root, folder, _new_names(names), lists)


def _check_target(source: Path, target: Path) -> None:
    if target == source or source in target.parents:
        raise UsageError(f"the target {target} lies in the source {source}; choose a folder outside it")
    if target.is_file():
        raise UsageError(f"the target {target} is a file, a folder is needed")
    if target.is_dir() and any(target.iterdir()) and not (target / RECEIPTS).is_file():
        raise UsageError(f"the target {target} holds other things (no {RECEIPTS}); choose a new or empty folder")


def _lists_below(root: Path) -> Iterator[str]:
    for base, folders, files in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (os.path.relpath(os.path.join(base, name), root) for name in files if name.endswith(_LISTS))


def _new_names(names: Sequence[str]) -> dict[str, str]:
    """Gives each file the extension .mp4; where two would then be one, those that are no .mp4 keep theirs before it."""
    plain = {name: os.path.splitext(name)[0] + ".mp4" for name in names}
    count = Counter(plain.values())
    new = {name: f"{name}.mp4" if count[to] > 1 and name != to else to for name, to in plain.items()}
    doubled = [name for name, times in Counter(new.values()).items() if times > 1]
    if doubled:
        raise UsageError(f"several files would be called {doubled[0]} in the copy; rename one of them")
    return new


def make_copy(plan: CopyPlan, settings: TranscodeSettings, *, processes: int, limit_s: int = 600) -> CopyReport:
    """Copies what is not there yet; a run that is stopped goes on where it was.

    Args:
        plan: What to copy.
        settings: How; files that were made with other settings are made anew.
        processes: How many files at a time, each in a process of its own.
        limit_s: Longest time for a file, in seconds.
    """
    if processes < 1 or limit_s < 1:
        raise UsageError(f"expected processes and limit_s >= 1, got {processes} and {limit_s}")
    plan.target.mkdir(parents=True, exist_ok=True)
    for part in plan.target.rglob(".*.part"):
        part.unlink()
    known = _read_receipts(plan.target / RECEIPTS)
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=6).hexdigest()
    keys = {name: _receipt_key(plan.source / name, name, digest) for name in plan.names}
    kept = tuple(name for name, key in keys.items() if _is_made(plan.target / plan.names[name], known.get(key)))
    wanted = [name for name in plan.names if name not in set(kept)]
    jobs = {name: (str(plan.source / name), plan.target / plan.names[name], settings) for name in wanted}
    for _, target, _ in jobs.values():
        target.unlink(missing_ok=True)  # of an older source or other settings
    copied: list[str] = []
    failures: dict[str, str] = {}
    last = time.monotonic()
    with (plan.target / RECEIPTS).open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n" if known else ",".join(_RECEIPT) + "\n")  # ends a line that a killed run left unfinished
        for name, cause in run_isolated(_transcode, jobs, processes=processes, limit_s=limit_s):
            if cause:
                failures[name] = cause
            else:
                copied.append(name)
                size = (plan.target / plan.names[name]).stat().st_size
                csv.writer(file, lineterminator="\n").writerow([*keys[name], size])
                file.flush()
            if time.monotonic() - last >= _PROGRESS_S:
                last = time.monotonic()
                _LOG.info("%d of %d files copied, %d failed", len(copied), len(jobs), len(failures))
    _write_failures(plan.target / FAILURES, failures)
    lists = sum(_copy_list(plan, name, failures) for name in plan.lists)
    return CopyReport(tuple(copied), kept, failures, lists)


def _transcode(source: str, target: Path, settings: TranscodeSettings) -> str:
    """Copies one file; returns the cause of a failure, or an empty string."""
    try:
        transcode(source, target, settings)
    except UnreadableClip as error:
        return error.cause
    except Exception as error:  # one file in a million must not end a run of days; its cause stands in the list
        return f"unexpected {type(error).__name__}: {error}"
    return ""


def _receipt_key(path: Path, name: str, digest: str) -> tuple[str, ...]:
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere; opening it gives the cause
        return name, "", "", digest
    return name, str(status.st_size), str(status.st_mtime_ns), digest


def _is_made(target: Path, size: int | None) -> bool:
    return size is not None and target.is_file() and target.stat().st_size == size


def _read_receipts(path: Path) -> Receipts:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = [row for line in file for row in csv.reader([line])]
    return {tuple(row[:4]): int(row[4]) for row in rows if len(row) == len(_RECEIPT) and row[4].isdecimal()}


def _write_failures(path: Path, failures: Mapping[str, str]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file, lineterminator="\n").writerows([("name", "cause"), *failures.items()])


def _copy_list(plan: CopyPlan, list_name: str, failures: Mapping[str, str]) -> bool:
    """Writes a list with the new names and without the failed files; False if it names no media file."""
    folder = os.path.dirname(list_name)
    lines: list[str] = []
    hits = 0
    text = (plan.source / list_name).read_text(encoding="utf-8", errors="surrogateescape")
    for line in text.splitlines():
        written, name, base = _named(line, folder, plan)
        hits += bool(name)
        if not name:
            lines.append(line)
        elif name not in failures:
            lines.append(line.replace(written, os.path.relpath(plan.names[name], base or "."), 1))
    if hits:
        target = plan.target / list_name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    return hits > 0


def _named(line: str, folder: str, plan: CopyPlan) -> tuple[str, str, str]:
    """Finds the media file that a line begins with; names may hold separators themselves.

    Returns:
        How it is written, its name below the source, and what it is relative to: the list's folder, or "" for the
        source. Three times "" if there is none.
    """
    line = line.strip()
    ends = [len(line), *(at for at in range(len(line) - 1, 0, -1) if line[at] in " ,;\t")]
    for end in ends:
        written = line[:end].strip()
        if not written.lower().endswith(MEDIA_EXTENSIONS):
            continue
        for base in (folder, ""):
            # An absolute name stands for itself in a join.
            name = os.path.relpath(os.path.join(plan.source, base, written), plan.source)
            if name in plan.names:
                return written, name, base
    return "", "", ""
