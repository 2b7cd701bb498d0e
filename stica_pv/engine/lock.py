"""One run a folder: a lock that tells who holds it, and that outlives no process for long."""

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

from stica_pv.errors import UsageError

NAME = "run.lock"
HEARTBEAT_S = 20.0
STALE_S = 180.0  # without a heartbeat; nine in a row were missed


class RunLock:
    """Holds `OUTPUT_DIR/run.lock` while entered. The file names host, process and job, and is touched regularly.

    A lock is taken over when its process is known to be gone (same host), when it belongs to the same Slurm job (a
    requeue), or when its heart has not beaten for `STALE_S`.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "RunLock":
        """Takes the lock.

        Raises:
            UsageError: Another run holds it, or the folder cannot be written.
        """
        while not self._create():
            self._refuse_living()
            self._path.unlink(missing_ok=True)
        self._heart.start()
        return self

    def _create(self) -> bool:
        own = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID", "")}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(own))
        except FileExistsError:
            if self._path.exists():
                return False
            raise UsageError(f"OUTPUT_DIR {self._path.parent} cannot be written: a file is in its way") from None
        except OSError as error:
            raise UsageError(f"OUTPUT_DIR {self._path.parent} cannot be written: {error.strerror or error}") from error
        return True

    def _refuse_living(self) -> None:
        holder = _read(self._path)
        if holder is None or _is_gone(holder):
            return
        age = time.time() - _touched(self._path)
        if age > STALE_S:
            return
        raise UsageError(
            f"OUTPUT_DIR {self._path.parent} is in use by process {holder['pid']} on {holder['host']}"
            f"{' (job ' + holder['job'] + ')' if holder['job'] else ''}, seen {age:.0f} s ago: "
            f"wait for it, end it, or choose another OUTPUT_DIR"
        )

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                os.utime(self._path)
            except FileNotFoundError:
                return

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._heart.join()
        self._path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    """Returns who holds a lock; None if it is gone, or was cut off while it was written."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return holder if isinstance(holder, dict) and {"host", "pid", "job"} <= holder.keys() else None


def _is_gone(holder: dict[str, Any]) -> bool:
    if holder["job"] and holder["job"] == os.environ.get("SLURM_JOB_ID"):
        return True  # this job in an earlier life
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # somebody else's, and alive
    return int(holder["pid"]) == os.getpid()


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
