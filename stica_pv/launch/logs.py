"""Logging of a run: the main process logs to the terminal, every process to its own file."""

import logging
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from stica_pv.command_line import PrintableFormatter
from stica_pv.credentials import without_credentials

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
        terminal = _Terminal(sys.stdout) if sys.stdout.isatty() else logging.StreamHandler(sys.stdout)
        terminal.setLevel(logging.INFO)
        terminal.setFormatter(_Formatter(FORMAT, TIME))
        root.addHandler(terminal)
    if output_dir:
        name = "stdout.log" if rank == 0 else f"stdout.rank{rank}.log"
        root.addHandler(_LateFile(Path(output_dir) / name))


def end_progress() -> None:
    """Ends the progress line on the terminal, so that later output begins on a new line."""
    for handler in logging.getLogger("stica_pv").handlers:
        if isinstance(handler, _Terminal):
            handler.end_progress()


class _Formatter(PrintableFormatter):
    """Removes passwords from records."""

    def format(self, record: logging.LogRecord) -> str:
        return without_credentials(super().format(record))


class _Terminal(logging.StreamHandler):  # type: ignore[type-arg]  # the class takes no argument at run time
    """Shows records with ``extra={"progress": True}`` as one line that is overwritten, all others above it.

    A record with ``extra={"progress": False}`` replaces that line for good.
    """

    _shown = ""

    def emit(self, record: logging.LogRecord) -> None:
        width = shutil.get_terminal_size().columns - 1  # a full last column would begin a new line
        blank = f"\r{' ' * width}\r" if self._shown else ""
        line = self.format(record)
        progress = getattr(record, "progress", None)
        if progress is not None:
            self._shown = line[:width] if progress else ""
        try:
            self.stream.write(blank + (self._shown if progress else f"{line}\n{self._shown[:width]}"))
            self.flush()
        except OSError:  # the terminal was closed; the file is still written
            self.handleError(record)

    def end_progress(self) -> None:
        """Leaves the line as it is and begins a new one."""
        if self._shown:
            self._shown = ""
            self.stream.write("\n")
            self.flush()

    def close(self) -> None:
        if not self.stream.closed:
            self.end_progress()
        super().close()


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
