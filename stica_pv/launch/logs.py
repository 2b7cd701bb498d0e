"""Logging of a run: the main process speaks on the terminal, every process into its file."""

import logging
import sys
from pathlib import Path

FORMAT = "[%(asctime)s] %(message)s"
TIME = "%H:%M:%S"


def set_up_logging(output_dir: str, rank: int) -> None:
    """Sends the package's log to stdout (rank 0) and to OUTPUT_DIR/stdout.log once that folder exists."""
    root = logging.getLogger("stica_pv")
    root.setLevel(logging.INFO)
    root.propagate = False
    root.handlers.clear()
    if rank == 0:
        terminal = logging.StreamHandler(sys.stdout)
        terminal.setFormatter(logging.Formatter(FORMAT, TIME))
        root.addHandler(terminal)
    name = "stdout.log" if rank == 0 else f"stdout.rank{rank}.log"
    root.addHandler(_LateFile(Path(output_dir) / name))


class _LateFile(logging.Handler):
    """Writes to a file in a folder that the run makes only when it knows that it can start."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._waiting: list[str] = []
        self.setFormatter(logging.Formatter(f"{FORMAT}", "%Y-%m-%d %H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        self._waiting.append(self.format(record))
        if self._path.parent.is_dir():
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n".join(self._waiting) + "\n")
            self._waiting.clear()
