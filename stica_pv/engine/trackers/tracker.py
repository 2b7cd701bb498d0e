"""Interface of experiment trackers, and the ids of their runs."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from stica_pv.partial_file import partial_file

NAME = "tracked.json"  # ids of the run in each service, so that a resumed run continues there


class Tracker(Protocol):
    """Logs the numbers of a run; only the main process has trackers.

    Attributes:
        takes_back: Whether it drops what was logged after the step of a resume. Otherwise the numbers of a step are
            logged only once, though a resumed run computes them again.
    """

    takes_back: bool

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Logs numbers by name."""

    def close(self) -> None:
        """Ends the run there, or this attempt of it."""


def known_run(folder: Path, service: str) -> str:
    """Returns the id that the service gave the run in a folder; empty for a new one."""
    path = folder / NAME
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found.get(service, "")


def remember_run(folder: Path, service: str, run: str) -> None:
    """Stores the id that the service gave the run in a folder."""
    path = folder / NAME
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    with partial_file(path) as partial:
        partial.write_text(json.dumps({**found, service: run}, indent=2) + "\n", encoding="utf-8")
