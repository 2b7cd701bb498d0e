"""What a conversion of a data set notes beside the files that it makes: receipts of what is done, and failures."""

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


def receipts_name(conversion: ConversionName) -> str:
    """Returns the name of the list of what is done."""
    return f"{conversion}_receipts.csv"


def failures_name(conversion: ConversionName) -> str:
    """Returns the name of the list of failures."""
    return f"{conversion}_failures.csv"


_NAMES = {name for kind in get_args(ConversionName) for name in (receipts_name(kind), failures_name(kind))}


def is_note(path: str) -> bool:
    """Whether a file is what a conversion noted of its own work, not a list of a data set."""
    return Path(path).name in _NAMES


class ConversionLog:
    """The receipts of a folder, to be read and added to.

    Attributes:
        known: Size of the new file in bytes by receipt.
    """

    def __init__(self, file: TextIO) -> None:
        """Reads those that are there; `file` is open for reading and appending."""
        self._file = file
        file.seek(0)
        rows = [csv_texts(row) for line in file for row in csv.reader([line])]
        self.known = {tuple(row[:4]): int(row[4]) for row in rows if len(row) == len(_HEADER) and row[4].isdecimal()}
        file.write("\n" if self.known else ",".join(_HEADER) + "\n")  # ends a line that a killed run left unfinished

    def add(self, receipt: ConversionRecord, size: int) -> None:
        """Notes a new file of so many bytes, at once."""
        csv.writer(self._file, lineterminator="\n").writerow(csv_cells([*receipt, size]))
        self._file.flush()


@contextmanager
def open_conversion_log(path: Path) -> Iterator[ConversionLog]:
    """Opens the receipts, and holds them alone meanwhile; the end of the process lets go of them too.

    Raises:
        UsageError: Another command holds them.
    """
    with path.open("a+", newline="", encoding="utf-8", errors="surrogateescape") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"the target {path.parent} is written by another command; wait for its end, or choose another folder"
            ) from error
        except OSError as error:
            _LOG.warning("%s: no lock (%s), so begin no second command that writes here", path, error.strerror)
        yield ConversionLog(file)


def receipt_of(path: Path, name: str, settings: Any) -> ConversionRecord:
    """Returns what tells the state of a source and the settings apart."""
    digest = hashlib.blake2b(repr(settings).encode(), digest_size=6).hexdigest()
    try:
        status = path.stat()
    except OSError:  # a link that leads nowhere; opening it gives the cause
        return name, "", "", digest
    return name, str(status.st_size), str(status.st_mtime_ns), digest


def write_failures(path: Path, failures: Mapping[str, str]) -> None:
    """Writes the cause of each failure."""
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file, lineterminator="\n").writerows(map(csv_cells, [("name", "cause"), *failures.items()]))
