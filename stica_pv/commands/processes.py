"""Commands in processes of their own."""

import os
import sys
from pathlib import Path

from stica_pv.recipe_files import CLONE

PACKAGE = Path(__file__).resolve().parents[1]


def command_of(name: str, *arguments: str) -> list[str]:
    """Returns the command line of a command of this package."""
    return [*module_of(PACKAGE.name), name, *arguments]


def module_of(name: str) -> list[str]:
    """Returns the command line of a module for this interpreter, without the working directory on its path."""
    return [sys.executable, "-P", "-m", name]


def environment_of_commands() -> dict[str, str]:
    """Returns the environment of such a process; it finds the package of a clone that is not installed."""
    environment = dict(os.environ)
    if (PACKAGE.parent / CLONE).is_dir():
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [str(PACKAGE.parent), environment.get("PYTHONPATH", "")])
        )
    return environment
