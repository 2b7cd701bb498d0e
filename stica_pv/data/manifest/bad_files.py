"""bad_files.csv: every file that a run does not use or could not read, with its cause."""

import contextlib
import csv
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from math import ceil
from pathlib import Path

from stica_pv.data.isolation.worker_process import is_lasting, lost_a_process
from stica_pv.errors import RunFailed
from stica_pv.partial_file import partial_file
from stica_pv.safe_text import csv_cells, csv_texts
from stica_pv.structures import ReadFailure

logger = logging.getLogger(__name__)

NAME = "bad_files.csv"
COLUMNS = ("stage", "step", "path", "cause")
EXCLUDED, READ = "excluded", "read"


@dataclass
class BadFiles:
    """Records bad files, and ends a run in which too many files fail in reading.

    Files that the manifest excludes (no audio, too short, unreadable header) are recorded but are no error. Files that
    passed the manifest and fail in reading are limited: more than `max_share` of the list, rounded up to whole files,
    end the run.

    Attributes:
        path: The csv file.
        usable: Number of files that passed the manifest.
        max_share: Largest share of them that may fail.
    """

    path: Path
    usable: int
    max_share: float
    _failed: set[str] = field(default_factory=set)

    def begin(self, excluded: Sequence[ReadFailure]) -> None:
        """Replace the exclusions and keep the read failures of the run so far (when resuming).

        Raises:
            RunFailed: The list cannot be written.
        """
        kept = [row for row in read_bad_files(self.path) if row["stage"] == READ]
        self._failed = {row["path"] for row in kept}
        with (
            _write_errors(self.path),
            partial_file(self.path) as partial,
            partial.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(csv_cells((EXCLUDED, "", failure.path, failure.cause)) for failure in excluded)
            writer.writerows(csv_cells(row[name] for name in COLUMNS) for row in kept)

    def report(self, step: int, failures: Sequence[ReadFailure]) -> None:
        """Add files that could not be read at a step.

        Raises:
            RunFailed: Too many failed, or the list cannot be written.
        """
        if not failures:
            return
        # All processes write to this file, and the share is that of the whole run.
        self._failed |= {row["path"] for row in read_bad_files(self.path) if row["stage"] == READ}
        new = list({failure.path: failure for failure in failures if failure.path not in self._failed}.values())
        if not new:
            return
        with (
            _write_errors(self.path),
            self.path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file,
        ):
            csv.writer(file).writerows(csv_cells((READ, step, failure.path, failure.cause)) for failure in new)
            file.flush()
            os.fsync(file.fileno())
        self._failed |= {failure.path for failure in new}
        for failure in new:
            if lost_a_process(failure.cause):  # the cause may be the machine as well as the file
                logger.warning(
                    "step %d: %s could not be read: %s; it is replaced by another file, so the losses differ from "
                    "those of a run that can read it",
                    *(step, failure.path, failure.cause),
                )
        allowed = ceil(self.max_share * self.usable)
        if len(self._failed) > allowed:
            raise RunFailed(
                f"{len(self._failed)} of {self.usable} files failed in reading, {allowed} are allowed "
                f"(DATA.MAX_BAD_SHARE {self.max_share}); last: {new[-1].path}: {new[-1].cause}; list: {self.path}"
            )


@contextlib.contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Raise `RunFailed` with one line if a list cannot be written, e.g. on a full disk."""
    try:
        yield
    except OSError as error:
        raise RunFailed(f"cannot write {path}: {error.strerror or error}") from error


def lasting_failures(path: Path) -> dict[str, int]:
    """Return the files that hung or killed a process, each with its step."""
    rows = [row for row in read_bad_files(path) if row["stage"] == READ and is_lasting(row["cause"])]
    return {row["path"]: int(row["step"]) for row in rows}


def read_bad_files(path: Path) -> list[dict[str, str]]:
    """Return the rows of a bad_files.csv; none if there is no such file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = [csv_texts(row) for row in csv.reader(file) if row][1:]
    return [dict(zip_longest(COLUMNS, row[: len(COLUMNS)], fillvalue="")) for row in rows]
