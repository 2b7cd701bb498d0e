"""The log of a conversion of a data set: records of converted files, and a list of failures."""

import csv
import fcntl
import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

from stica_pv.errors import UsageError
from stica_pv.safe_text import csv_cells, csv_texts

_LOG = logging.getLogger(__name__)

ConversionName = Literal["transcode", "flow"]
ConversionRecord = tuple[str, ...]

_HEADER = ("name", "size_bytes", "mtime_ns", "settings", "target_bytes")


def log_name(conversion: ConversionName) -> str:
    """Return the name of the log of converted files."""
    return f"{conversion}_receipts.csv"


def failures_name(conversion: ConversionName) -> str:
    """Return the name of the list of failures."""
    return f"{conversion}_failures.csv"


_NAMES = {name for kind in get_args(ConversionName) for name in (log_name(kind), failures_name(kind))}


def is_conversion_file(path: str) -> bool:
    """Return whether a file is the log or the list of failures of a conversion, not a list of a data set."""
    return Path(path).name in _NAMES


class ConversionLog:
    """The records of a folder, which can be read and extended.

    Attributes:
        known: Size of the new file in bytes, by record.
    """

    def __init__(self, file: TextIO) -> None:
        """Read the existing records; `file` is open for reading and appending."""
        self._file = file
        file.seek(0)
        rows = [csv_texts(row) for line in file for row in csv.reader([line])]
        self.known = {tuple(row[:4]): int(row[4]) for row in rows if len(row) == len(_HEADER) and row[4].isdecimal()}
        file.write("\n" if self.known else ",".join(_HEADER) + "\n")  # ends an incomplete line of a killed run

    def add(self, record: ConversionRecord, size: int) -> None:
        """Record a new file with its size in bytes, and flush."""
        csv.writer(self._file, lineterminator="\n").writerow(csv_cells([*record, size]))
        self._file.flush()


@contextmanager
def open_conversion_log(path: Path) -> Iterator[ConversionLog]:
    """Open the log with an exclusive lock, which is also released when the process ends.

    Raises:
        UsageError: Another command holds the lock.
    """
    with path.open("a+", newline="", encoding="utf-8", errors="surrogateescape") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another command is writing to the target {path.parent}; wait for its end, or choose another folder"
            ) from error
        except OSError as error:
            _LOG.warning("%s: cannot lock (%s); do not start a second command for this target", path, error.strerror)
        yield ConversionLog(file)


def record_of(path: Path, name: str, settings: Any) -> ConversionRecord:
    """Return a record that identifies the state of a source and the settings."""
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=6).hexdigest()
    try:
        status = path.stat()
    except OSError:  # a broken link; opening it gives the cause
        return name, "", "", digest
    return name, str(status.st_size), str(status.st_mtime_ns), digest


def write_failures(path: Path, failures: Mapping[str, str]) -> None:
    """Write the cause of each failure."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file, lineterminator="\n").writerows(map(csv_cells, [("name", "cause"), *failures.items()]))
