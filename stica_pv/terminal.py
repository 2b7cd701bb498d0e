"""Log lines and error lines on a terminal that may show a progress bar; without a dependency, for every command."""

import logging
import os
import shutil
import sys
from contextlib import AbstractContextManager, suppress
from typing import Any, Protocol


class ShownBar(Protocol):
    """A bar on stderr."""

    def hide(self) -> None:
        """Clears the line until the bar is next drawn."""

    def hidden(self) -> AbstractContextManager[None]:
        """Clears the line while something else is written."""


OPEN_BARS: list[ShownBar] = []
"""Bars of this process, the innermost last; only that one is visible. See `stica_pv.progress`."""


class LogHandler(logging.StreamHandler):  # type: ignore[type-arg]  # the class takes no argument at run time
    """Writes log records above the bar, and leaves out those that the bar shows.

    A process shows bars only if it logs through such a handler, and only to terminals: so lines that pass through a
    pipe to the same terminal cannot tear a bar.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record."""
        bar = OPEN_BARS[-1] if OPEN_BARS and is_terminal(self.stream) else None
        if bar is None:
            super().emit(record)
        elif not getattr(record, "shown_by_bar", False):
            with bar.hidden():
                super().emit(record)


def is_terminal(stream: Any) -> bool:
    """Returns whether a stream is an open terminal; it may be None."""
    return stream is not None and not stream.closed and bool(stream.isatty())


def over_bar(text: str) -> str:
    """Returns text for stderr that replaces a bar there, perhaps of a process that was killed."""
    if not is_terminal(sys.stderr):
        return text
    return f"\r{' ' * columns_of(sys.stderr)}\r{text}"


def log_is_on_terminal() -> bool:
    """Returns whether this process logs to terminals, and stderr is one too."""
    found, log = [], logging.getLogger(__name__)
    while True:
        found += [handler.stream for handler in log.handlers if isinstance(handler, LogHandler)]
        if not log.propagate or log.parent is None:
            return bool(found) and all(map(is_terminal, [sys.stderr, *found]))
        log = log.parent


def columns_of(stream: Any) -> int:
    """Returns the usable width: a full last column would begin a new line."""
    with suppress(OSError, ValueError):  # not a terminal, or closed
        columns = os.get_terminal_size(stream.fileno()).columns
        if columns:
            return max(1, columns - 1)
    return max(1, shutil.get_terminal_size().columns - 1)
