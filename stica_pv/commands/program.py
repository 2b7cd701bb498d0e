"""The console program `stica-pv`: finds a command by its name and runs it. Imports nothing heavy."""

import importlib
import sys
from functools import partial
from types import ModuleType

from stica_pv import __version__
from stica_pv.command_line import PROGRAM, exit_code
from stica_pv.errors import UsageError, nearest

COMMANDS = {
    "train": "pre-train and evaluate with a recipe",
    "recipes": "list the recipes that come with the package",
    "explain": "describe a configuration key or a section",
    "status": "print the state of runs",
    "report": "write a page about one or several runs",
    "gallery": "write a page of test clips and their nearest neighbors",
    "check-dataset": "check a data set before training",
    "inspect-batch": "write a page of the network inputs of a training step",
    "transcode": "make a low-resolution copy of a data set",
    "make-shards": "pack a training list into tar shards",
    "compute-flow": "compute the optical flow of a data set",
    "extract-features": "extract features of media files with a checkpoint",
    "export": "export networks of a checkpoint for other programs",
    "push-to-hub": "publish a checkpoint as a repository of the Hugging Face Hub",
    "convert": "convert weights of other code into a checkpoint",
    "ablation": "run a grid of configurations and compare its cells",
    "evidence": "run the ablations that test the claims of a paper",
    "benchmark": "measure the speed and memory of parts of the package",
    "scaling": "measure what a step exchanges between many processes",
    "check-reader": "measure the errors of the video reader on generated files",
    "completion": "print a script for the completion of a shell",
}
"""The commands with a line of help each; the code of ``check-dataset`` is the module `check_dataset`."""


def usage() -> str:
    """Returns the help of the program."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        (
            f"usage: {PROGRAM} [--help] [--version] COMMAND ...",
            "",
            "Self-supervised training on video with its audio.",
            "",
            "commands:",
            *lines,
            "",
            f"{PROGRAM} COMMAND --help describes a command. First run, without data: {PROGRAM} train --cfg stica/demo",
        )
    )


def load_command(name: str) -> ModuleType:
    """Returns the module of a command; it has `create_parser()` and `main(argv)`.

    Raises:
        UsageError: There is no such command.
    """
    if name not in COMMANDS:
        raise UsageError(f"unknown command {name}{nearest(name, COMMANDS)}; {PROGRAM} --help lists all")
    return importlib.import_module(f"stica_pv.commands.{name.replace('-', '_')}")


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; exit code 2: there is no such command, or its arguments are wrong."""
    arguments = sys.argv[1:] if argv is None else argv
    return exit_code(partial(_run, arguments))


def _run(arguments: list[str]) -> int:
    name, *rest = arguments or [""]
    if name in ("--version", "-V"):
        print(f"{PROGRAM} {__version__}")
        return 0
    if name in ("", "--help", "-h"):
        print(usage())
        return 0 if name else 2
    code: int = load_command(name).main(rest)
    return code
