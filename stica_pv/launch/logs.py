"""Logging of a run: the main process logs to the terminal, every process to its own file."""

import logging
import sys
from contextlib import suppress
from pathlib import Path

from stica_pv.command_line import PrintableFormatter
from stica_pv.credentials import without_credentials
from stica_pv.terminal import LogHandler

FORMAT = "[%(asctime)s] %(message)s"
TIME = "%H:%M:%S"


def set_up_logging(output_dir: str, rank: int) -> None:
    """Sends the package's log to stdout (rank 0) and to OUTPUT_DIR/stdout.log once that folder exists.

    Args:
        output_dir: Folder of the log file; "" for no file.
        rank: Rank of this process.
    """
    root = logging.getLogger("stica_pv")
    root.setLevel(logging.DEBUG)  # for the file: tracebacks of errors that the terminal shows in one line
    root.propagate = False
    root.handlers.clear()
    if rank == 0:
        terminal = LogHandler(sys.stdout)
        terminal.setLevel(logging.INFO)
        terminal.setFormatter(_Formatter(FORMAT, TIME))
        root.addHandler(terminal)
    if output_dir:
        name = "stdout.log" if rank == 0 else f"stdout.rank{rank}.log"
        root.addHandler(_LateFile(Path(output_dir) / name))


class _Formatter(PrintableFormatter):
    """Removes passwords from records."""

    def format(self, record: logging.LogRecord) -> str:
        return without_credentials(super().format(record))


class _LateFile(logging.Handler):
    """Writes to a file in a folder that the run makes only once it can start; keeps earlier records until then."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._waiting: list[str] = []
        self.setFormatter(_Formatter(FORMAT, "%Y-%m-%d %H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.append(self.format(record))
        if self._path.parent.is_dir():
            with (
                suppress(OSError),
                self._path.open("a", encoding="utf-8") as file,
            ):  # a full disk must not end the run here
                file.write("\n".join(self._waiting) + "\n")
            self._waiting.clear()
