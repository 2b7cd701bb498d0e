"""Whether processes have ended."""

import time
from collections.abc import Iterable
from pathlib import Path


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def all_end(pids: Iterable[int]) -> bool:
    pids, end = list(pids), time.monotonic() + 300
    while any(map(is_running, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(is_running, pids))
