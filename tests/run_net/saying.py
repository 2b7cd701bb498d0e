"""What tests of the command line say to it, and what they expect of its refusals."""

import subprocess
import sys
from collections.abc import Callable

from tiny_runs import REPOSITORY

TOOL = REPOSITORY / "tools" / "run_net.py"
Say = Callable[..., tuple[int, str, str]]


def in_a_process(*argv: object) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, str(TOOL), *map(str, argv)], capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def assert_refused(answer: tuple[int, str, str], *parts: str) -> None:
    code, _, err = answer
    assert code == 2, answer
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert [part for part in parts if part not in err] == [], err
