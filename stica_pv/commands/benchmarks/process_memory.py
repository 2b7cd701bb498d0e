"""Memory of several processes; shared memory counts once (Linux)."""

import os
from collections.abc import Iterable
from pathlib import Path


def proportional_mb(pids: Iterable[int]) -> float:
    """Returns the sum of the proportional set sizes of processes; ended processes count as 0."""
    return sum(map(_proportional_mb, pids))


def family() -> list[int]:
    """Returns this process and all its descendants."""
    found, clip_format = [], [os.getpid()]
    while clip_format:
        found.append(clip_format.pop())
        for children in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            try:
                clip_format.extend(map(int, children.read_text(encoding="utf-8").split()))
            except (FileNotFoundError, ProcessLookupError):  # a thread that ended
                continue
    return found


def _proportional_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000
