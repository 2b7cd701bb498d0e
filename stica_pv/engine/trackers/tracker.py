"""What a run tells a service that draws its curves; the run's own files do not need one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

NAME = "tracked.json"  # which run of a service this is, so that a resumed run goes on there


class Tracker(Protocol):
    """Takes the numbers of a run; the main process alone has one.

    Attributes:
        takes_back: Whether what lies behind the step of a resume was removed. Otherwise the numbers of a step are told
            to it once, though a resumed run computes them again.
    """

    takes_back: bool

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Takes numbers by name."""

    def close(self) -> None:
        """Ends the run there, or this life of it."""


def known_run(folder: Path, service: str) -> str:
    """Returns the service's own name of the run in a folder; empty for a new one."""
    path = folder / NAME
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found.get(service, "")


def remember_run(folder: Path, service: str, run: str) -> None:
    """Notes the service's own name of the run in a folder."""
    path = folder / NAME
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**found, service: run}, indent=2) + "\n", encoding="utf-8")
