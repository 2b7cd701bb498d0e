"""The processes that a started run has left."""

import time
from pathlib import Path

PATIENCE_S = 300


def processes_of_session(session: int) -> list[int]:
    """Returns the processes (not zombies) of a session, which a started run leads."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == session and state not in "ZX":
            found.append(int(folder.name))
    return found


def all_ended(session: int) -> bool:
    """Waits until a session has no process: Python's resource tracker ends just after the process that it serves."""
    until = time.monotonic() + PATIENCE_S
    while processes_of_session(session):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
