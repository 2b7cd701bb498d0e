"""What the tools share: arguments, exit codes, output, and variables of the environment that libraries read.

Imports nothing heavy, so that `--help` is fast.
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
from pathlib import Path
from typing import Any, TextIO, cast

from stica_pv.credentials import without_credentials
from stica_pv.errors import RunFailed, RunStopped, SignalReceived, UnreadableClip, UsageError
from stica_pv.safe_text import printable
from stica_pv.terminal import LogHandler, over_bar

PROGRAM = "stica-pv"
SCRIPTS = {
    "train": "run_net.py",
    "status": "run_net.py --status",
    "explain": "run_net.py --explain",
    "convert": "convert_checkpoint.py",
    **{
        name: f"{name.replace('-', '_')}.py"
        for name in (
            *("check-dataset", "transcode", "make-shards", "compute-flow", "inspect-batch", "report", "gallery"),
            *("export", "push-to-hub", "extract-features", "benchmark", "ablation", "scaling", "check-reader"),
        )
    },
}
"""Scripts of a clone's folder tools/ by the names of the commands; a clone runs them without an installation."""

YAML = (".yaml", ".yml")
SIGNALLED = 128  # shells add this to the number of the signal that ended a command: 130 for Ctrl-C
_NEGATIVE = re.compile(r"-\.?\d")
# Errors for the user: the prefix of the message, and the exit code.
_ENDS: dict[type[Exception], tuple[str, int]] = {
    UsageError: ("error", 2),
    RunFailed: ("failed", 1),
    UnreadableClip: ("failed", 1),
    RunStopped: ("stopped", SIGNALLED),
}

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning would take cores from the loader's workers
    "THP_MEM_ALLOC_ENABLE": "1",  # torch's large buffers use pages of 2 MB, which the system clears faster
}
"""Variables that make a program on the CPU faster; each library reads its variable when it is loaded."""


def command_name(command: str) -> str:
    """Returns how to call a command in the way this process was called: by the program, or by a script of tools/."""
    script = Path(sys.argv[0]).absolute()
    by_script = script.parent.name == "tools" and script.name in {name.split()[0] for name in SCRIPTS.values()}
    return f"python tools/{SCRIPTS[command]}" if by_script and command in SCRIPTS else f"{PROGRAM} {command}"


def as_called(text: str) -> str:
    """Returns a text in which commands, written as ``stica-pv train``, have the names that the user knows."""
    called = re.sub(rf"\b{PROGRAM} ([a-z-]+)", lambda found: command_name(found[1]), text)
    return re.sub(r"-m stica_pv ([a-z-]+)", lambda found: _behind_launcher(found[1], found[0]), called)


def _behind_launcher(command: str, module: str) -> str:
    """Returns how a launcher such as torchrun starts a command: a script, or the package as a module."""
    name = command_name(command)
    return name.removeprefix("python ") if name.startswith("python ") else module


def command_parser(
    command: str, description: str | None, *, epilog: str = "", imports: bool = False
) -> argparse.ArgumentParser:
    """Returns the empty parser of a command; its texts keep their line breaks.

    Args:
        command: Name of the command.
        description: Description of the command.
        epilog: Text below the arguments.
        imports: Whether the command has ``--import``, since it uses components by name.
    """
    parser = argparse.ArgumentParser(
        prog=command_name(command),
        description=as_called(description or ""),
        epilog=as_called(epilog),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if imports:
        parser.add_argument(
            "--import",
            action=_Import,
            metavar="MODULE",
            help="module of yours to import, which declares keys and registers components; may be repeated",
        )
    return parser


IMPORTS = "STICA_PV_IMPORT"
"""Variable with the modules of ``--import``, separated by commas; the processes of a command import them too."""


class _Import(argparse.Action):
    """Adds a module to the variable `IMPORTS`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        names = [*filter(None, os.environ.get(IMPORTS, "").split(",")), values]
        os.environ[IMPORTS] = ",".join(dict.fromkeys(names))


def set_environment() -> None:
    """Sets the variables of `ENVIRONMENT` that the caller has not set; call it before torch is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def exit_code(act: Callable[[], int | None], *, interrupted: str = "stopped") -> int:
    """Runs a command; an error for the user becomes one line on stderr.

    A closed reader of stdout, such as `head` after its lines, does not stop the command: further lines are dropped.

    Args:
        act: Function to run; it returns the exit code, None for 0.
        interrupted: Message after Ctrl-C.

    Returns:
        The exit code; 2: the request is wrong, 1: it failed while running, 130: stopped by Ctrl-C (143: by SIGTERM,
        129: by the end of its terminal).
    """
    try:
        with tolerate_closed_stdout():
            return act() or 0
    except tuple(_ENDS) as error:
        prefix, code = next(end for kind, end in _ENDS.items() if isinstance(error, kind))
        _write_error(f"{prefix}: {printable(error)}\n")
        return code + error.number if isinstance(error, RunStopped) else code
    except KeyboardInterrupt as error:
        _write_error(f"{interrupted}\n")
        return SIGNALLED + (error.number if isinstance(error, SignalReceived) else signal.SIGINT)


def _write_error(line: str) -> None:
    with suppress(OSError):  # the terminal may be closed
        sys.stderr.write(over_bar(as_called(without_credentials(line))))
        sys.stderr.flush()


_GONE = (errno.EPIPE, errno.EIO)  # a closed reader, a closed terminal


class PrintableFormatter(logging.Formatter):
    """Formats records for a terminal; control characters become escapes, line breaks of the program stay."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the text of a record."""
        return "\n".join(map(printable, super().format(record).split("\n")))


def log_to_terminal(*, level: int, stream: TextIO | None = None) -> None:
    """Logs messages of this package and others to stderr or to a stream, without a prefix.

    Args:
        level: Lowest level of messages.
        stream: Output stream; None for stderr.
    """
    handler = LogHandler(stream)
    handler.setFormatter(PrintableFormatter())
    logging.basicConfig(level=level, handlers=[handler])


class _Output:
    """Standard output that drops everything, without an error, once its reader is closed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._redirect_to_null(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._redirect_to_null(error)

    def _redirect_to_null(self, error: OSError) -> None:
        if error.errno not in _GONE:
            raise error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())  # buffers are dropped as well, also at the exit of Python
        os.close(null)


@contextmanager
def tolerate_closed_stdout() -> Iterator[None]:
    """Drops printed output once its reader is closed."""
    if sys.stdout is None:  # it was closed at the start
        yield
        return
    output = _Output(sys.stdout)
    with redirect_stdout(cast(TextIO, output)):
        try:
            yield
        finally:
            output.flush()


class _Argument(str):
    """An argument of a command line with its position.

    Attributes:
        position: Index on the command line.
    """

    position: int


def add_cfg_arguments(parser: argparse.ArgumentParser, files_help: str) -> None:
    """Declares ``--cfg FILE [KEY VALUE ...] [--opts KEY VALUE ...]``; both may be given again."""
    parser.add_argument("--cfg", nargs="+", action="append", metavar="FILE", help=files_help)
    add_opts_argument(parser, "overrides, the last one wins")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides, as after --opts")


def add_opts_argument(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Declares ``--opts KEY VALUE ...``, which may be given again."""
    parser.add_argument("--opts", nargs="*", action="extend", default=[], metavar="KEY VALUE", help=help_text)


def add_name_argument(parser: argparse.ArgumentParser) -> None:
    """Declares ``--name RUN``."""
    parser.add_argument("--name", metavar="RUN", help="name of the run: OUTPUT_DIR is output/<project>/RUN")


def parse_cfg_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """Parses the arguments of a command line.

    Returns:
        `cfg` holds the files of every ``--cfg``, `overrides` the overrides of all positions, both in the order of the
        command line.
    """
    arguments = []
    for position, text in enumerate(argv):
        # A leading space keeps argparse from taking a value such as -1e-3 for an option.
        arguments.append(_Argument(f" {text}" if _NEGATIVE.match(text) else text))
        arguments[-1].position = position
    args = parser.parse_intermixed_args(arguments)
    files, overrides = [], [*args.overrides, *args.opts]
    for given in args.cfg or []:
        count = next((i for i, text in enumerate(given) if i and not _is_file(text)), len(given))
        files += given[:count]
        overrides += given[count:]
    args.cfg, args.overrides = files, sorted(overrides, key=lambda text: getattr(text, "position", len(argv)))
    del args.opts
    for name, value in vars(args).items():
        setattr(args, name, _as_typed(value))
    return args


def _is_file(text: str) -> bool:
    """Whether an argument names a configuration or a recipe, such as ``stica/k400``, and not a key."""
    return text.endswith(YAML) or "/" in text


def _as_typed(value: Any) -> Any:
    """Returns the plain strings of a parsed value, without the leading space."""
    if isinstance(value, list):
        return [_as_typed(one) for one in value]
    if isinstance(value, str):
        return str(value[1:] if value[:1] == " " and _NEGATIVE.match(value, 1) else value)
    return value
