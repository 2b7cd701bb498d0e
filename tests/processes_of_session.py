"""The processes that a started run has left."""

from pathlib import Path


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
