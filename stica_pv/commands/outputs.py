"""Files that commands write for their user."""

from collections.abc import Callable
from pathlib import Path

from stica_pv.errors import UsageError
from stica_pv.partial_file import partial_file


def write_output(path: Path, write: Callable[[Path], object]) -> None:
    """Writes a file, and its folder if needed; an earlier file stays until the new one is complete.

    Args:
        path: The file.
        write: Writes to a given path.

    Raises:
        UsageError: The file cannot be written.
    """
    try:
        with partial_file(path) as partial:
            write(partial)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file; see `write_output`."""
    write_output(path, lambda partial: partial.write_text(text, encoding="utf-8"))
