"""What the tools share: words of a command line, how a command ends, what libraries read from the environment.

Imports nothing heavy: `--help` is fast.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable

from stica_pv.errors import RunFailed, RunStopped, UnreadableClip, UsageError

YAML = (".yaml", ".yml")
INTERRUPTED = 130  # as shells count a command that Ctrl-C ended
_NEGATIVE = re.compile(r"-\.?\d")
# Of the errors that a person is meant to read: the word before the message, and the exit code.
_ENDS: dict[type[Exception], tuple[str, int]] = {
    UsageError: ("error", 2),
    RunFailed: ("failed", 1),
    UnreadableClip: ("failed", 1),
    RunStopped: ("stopped", INTERRUPTED),
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

    Args:
        act: The work; a number that it returns is the exit code, None is 0.
        interrupted: What Ctrl-C leaves behind, in words.

    Returns:
        The exit code; 2: it cannot be done as asked, 1: it failed on the way, 130: it was stopped.
    """
    try:
        return act() or 0
    except tuple(_ENDS) as error:
        word, code = next(end for kind, end in _ENDS.items() if isinstance(error, kind))
        sys.stderr.write(f"{word}: {error}\n")
        return code
    except KeyboardInterrupt:
        sys.stderr.write(f"{interrupted}\n")
        return INTERRUPTED


def add_cfg_arguments(parser: argparse.ArgumentParser, files_help: str) -> None:
    """Declares ``--cfg FILE [KEY VALUE ...] [--opts KEY VALUE ...]``."""
    parser.add_argument("--cfg", nargs="+", metavar="FILE", help=files_help)
    parser.add_argument("--opts", nargs="*", default=[], metavar="KEY VALUE", help="overrides, the last one wins")
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="overrides, as after --opts")


def parse_cfg_arguments(parser: argparse.ArgumentParser, argv: list[str]) -> argparse.Namespace:
    """Parses words: `cfg` of the result holds files, `overrides` the overrides wherever they stood, `sweep` pairs."""
    # A leading space keeps argparse from taking a value such as -1e-3 for an option.
    args = parser.parse_intermixed_args([f" {word}" if _NEGATIVE.match(word) else word for word in argv])
    words = args.cfg or []
    files = next((i for i, word in enumerate(words) if i and not word.endswith(YAML)), len(words))
    args.cfg, behind = words[:files], words[files:]
    words = [*behind, *args.overrides, *args.opts]
    args.overrides = [_as_typed(word) for word in words]
    args.sweep = [(_as_typed(key), _as_typed(values)) for key, values in getattr(args, "sweep", [])]
    return args


def _as_typed(word: str) -> str:
    return word[1:] if word[:1] == " " and _NEGATIVE.match(word, 1) else word
