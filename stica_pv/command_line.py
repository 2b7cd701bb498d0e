"""What the tools share: words of a command line, how a command ends, what libraries read from the environment.

Imports nothing heavy: `--help` is fast.
"""

import argparse
import errno
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO, cast

from stica_pv.credentials import without_credentials
from stica_pv.errors import RunFailed, RunStopped, SignalReceived, UnreadableClip, UsageError
from stica_pv.safe_text import printable

YAML = (".yaml", ".yml")
SIGNALLED = 128  # what shells add to the number of a signal that ended a command: 130 for Ctrl-C
_NEGATIVE = re.compile(r"-\.?\d")
# Of the errors that a person is meant to read: the word before the message, and the exit code.
_ENDS: dict[type[Exception], tuple[str, int]] = {
    UsageError: ("error", 2),
    RunFailed: ("failed", 1),
    UnreadableClip: ("failed", 1),
    RunStopped: ("stopped", SIGNALLED),
}

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning take the cores from the loader's workers
    "THP_MEM_ALLOC_ENABLE": "1",  # torch's large buffers in pages of 2 MB: the system clears new ones sooner
}
"""How a program on the CPU goes faster; each library reads its variable when it is loaded."""


def set_environment() -> None:
    """Sets what of `ENVIRONMENT` the caller has not set; comes before torch is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def exit_code(act: Callable[[], int | None], *, interrupted: str = "stopped") -> int:
    """Does what a command line asks for; an error that a person is meant to read becomes one line on stderr.

    A reader of stdout that has gone, as `head` has after its lines, stops nothing: further lines go nowhere.

    Args:
        act: The work; a number that it returns is the exit code, None is 0.
        interrupted: What Ctrl-C leaves behind, in words.

    Returns:
        The exit code; 2: it cannot be done as asked, 1: it failed on the way, 130: it was stopped by Ctrl-C (143: by
        SIGTERM, 129: by the end of its terminal).
    """
    try:
        with output_that_may_be_left():
            return act() or 0
    except tuple(_ENDS) as error:
        word, code = next(end for kind, end in _ENDS.items() if isinstance(error, kind))
        _tell(f"{word}: {printable(error)}\n")
        return code + error.number if isinstance(error, RunStopped) else code
    except KeyboardInterrupt as error:
        _tell(f"{interrupted}\n")
        return SIGNALLED + (error.number if isinstance(error, SignalReceived) else signal.SIGINT)


def _tell(line: str) -> None:
    with suppress(OSError):  # the terminal may be closed
        sys.stderr.write(without_credentials(line))
        sys.stderr.flush()


_GONE = (errno.EPIPE, errno.EIO)  # a reader that has ended, a terminal that was closed


class PrintableFormatter(logging.Formatter):
    """Formats records for a terminal; control characters of names come as escapes, lines of the program stay."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the text of a record."""
        return "\n".join(map(printable, super().format(record).split("\n")))


def log_to_terminal(*, level: int, stream: TextIO | None = None) -> None:
    """Sends messages of this package and others to stderr, or to a stream, as they are.

    Args:
        level: Least level of messages.
        stream: Where they go; None for stderr.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(PrintableFormatter())
    logging.basicConfig(level=level, handlers=[handler])


class _Output:
    """Standard output that nobody may read any more: what is written then goes nowhere, without an error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._turn_to_nowhere(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._turn_to_nowhere(error)

    def _turn_to_nowhere(self, error: OSError) -> None:
        if error.errno not in _GONE:
            raise error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())  # what is left in buffers goes there as well, also at Python's end
        os.close(nowhere)


@contextmanager
def output_that_may_be_left() -> Iterator[None]:
    """Lets what is printed go nowhere once its reader has gone."""
    if sys.stdout is None:  # it was closed from the beginning
        yield
        return
    output = _Output(sys.stdout)
    with redirect_stdout(cast(TextIO, output)):
        try:
            yield
        finally:
            output.flush()


class _Word(str):
    """A word of a command line that knows its place in it."""

    place: int


def add_cfg_arguments(parser: argparse.ArgumentParser, files_help: str) -> None:
    """Declares ``--cfg FILE [KEY VALUE ...] [--opts KEY VALUE ...]``; both may be given again."""
    parser.add_argument("--cfg", nargs="+", action="append", metavar="FILE", help=files_help)
    add_opts_argument(parser, "overrides, the last one wins")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides, as after --opts")


def add_opts_argument(parser: argparse.ArgumentParser, words_help: str) -> None:
    """Declares ``--opts KEY VALUE ...``, which may be given again."""
    parser.add_argument("--opts", nargs="*", action="extend", default=[], metavar="KEY VALUE", help=words_help)


def parse_cfg_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """Parses words.

    Returns:
        `cfg` holds the files of every ``--cfg``, `overrides` the overrides wherever they stood, both in the order of
        typing.
    """
    words = []
    for place, word in enumerate(argv):
        # A leading space keeps argparse from taking a value such as -1e-3 for an option.
        words.append(_Word(f" {word}" if _NEGATIVE.match(word) else word))
        words[-1].place = place
    args = parser.parse_intermixed_args(words)
    files, overrides = [], [*args.overrides, *args.opts]
    for given in args.cfg or []:
        count = next((i for i, word in enumerate(given) if i and not word.endswith(YAML)), len(given))
        files += given[:count]
        overrides += given[count:]
    args.cfg, args.overrides = files, sorted(overrides, key=lambda word: getattr(word, "place", len(argv)))
    del args.opts
    for name, value in vars(args).items():
        setattr(args, name, _as_typed(value))
    return args


def _as_typed(value: Any) -> Any:
    """The plain words of a parsed value."""
    if isinstance(value, list):
        return [_as_typed(one) for one in value]
    if isinstance(value, str):
        return str(value[1:] if value[:1] == " " and _NEGATIVE.match(value, 1) else value)
    return value
