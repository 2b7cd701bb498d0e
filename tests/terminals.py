"""A terminal for tests: what was written to it, and what it then shows."""

import logging
import os
import pty
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

WIDTH = 40


def read_all(master: int) -> str:
    """Reads what was written to a terminal that is closed on the other side."""
    parts = []
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux' word for the end
            part = b""
        if not part:
            os.close(master)
            return b"".join(parts).decode()
        parts.append(part)


def screen(written: str) -> list[str]:
    """Lines visible on a terminal, which overwrites."""
    lines, column = [""], 0
    for letter in written:
        if letter == "\n":
            lines.append("")
        elif letter == "\r":
            column = 0
        else:
            lines[-1] = lines[-1][:column].ljust(column) + letter + lines[-1][column + 1 :]
            column += 1
    return [line.rstrip() for line in lines]


def without_times(lines: list[str]) -> list[str]:
    return [line.partition("] ")[2] if line.startswith("[") else line for line in lines]


def open_terminal(width: int = WIDTH) -> tuple[int, int]:
    """Returns (master, slave) of a new terminal."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, width))
    return master, slave


def on_terminal(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None], width: int = WIDTH) -> str:
    """Returns what `act` writes if stdout and stderr are a terminal."""
    master, slave = open_terminal(width)
    with os.fdopen(slave, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "stderr", terminal)
        act()
    return read_all(master)


@contextmanager
def logging_restored() -> Iterator[None]:
    root = logging.getLogger("stica_pv")
    before = root.handlers[:], root.level, root.propagate
    yield
    root.handlers[:], root.level, root.propagate = before


def closed_terminal() -> TextIO:
    """Returns a stream to a terminal that is gone."""
    master, slave = open_terminal()
    os.close(master)
    return os.fdopen(slave, "w", encoding="utf-8")
