"""Lock of the folder of a run; it names its holder, and expires soon after the holder ends."""

import json
import logging
import os
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from stica_pv.errors import UsageError

logger = logging.getLogger(__name__)

NAME = "run.lock"
HEARTBEAT_S = 20.0
STALE_S = 180.0  # without a heartbeat: nine in a row were missed
ROBBED = 4  # exit code of a process whose lock was taken by another


class RunLock:
    """Holds `OUTPUT_DIR/run.lock` while entered. The file names host, process and job, and is touched regularly.

    A lock is taken over if its process has ended (same host), if it belongs to an earlier attempt of the same Slurm job
    (a requeue), or if no heartbeat was recorded for `STALE_S`. A process whose lock was taken exits at its next
    heartbeat: it was disconnected, and another process writes into the folder now.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_heartbeats, daemon=True)
        self._own = {"host": socket.gethostname(), "pid": os.getpid(), **_this_job(), "id": uuid.uuid4().hex}

    def __enter__(self) -> "RunLock":
        """Takes the lock.

        Raises:
            UsageError: Another run holds it, or the folder cannot be written.
        """
        while not self._create():
            check_free(self._path.parent)
            self._remove_stale()
        self._thread.start()
        return self

    def _create(self) -> bool:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("x", encoding="utf-8") as file:
                file.write(json.dumps(self._own))
        except FileExistsError:
            if self._path.exists():
                return False
            raise UsageError(f"OUTPUT_DIR {self._path.parent} cannot be written: a file is in its way") from None
        except OSError as error:
            raise UsageError(f"OUTPUT_DIR {self._path.parent} cannot be written: {error.strerror or error}") from error
        return True

    def _remove_stale(self) -> None:
        """Removes the stale lock by renaming it, so that only one of several processes succeeds."""
        aside = self._path.with_name(f"{NAME}.{self._own['id']}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return
        try:
            check_free(self._path.parent, aside.name)
        except UsageError:  # it is a new lock: restored, unless a third process has written one meanwhile
            if not self._path.exists():
                aside.rename(self._path)
            raise
        aside.unlink()

    def _send_heartbeats(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                holder = read_lock(self._path)
                if holder is not None and holder.get("id") != self._own["id"]:
                    logger.critical("%s was taken by process %s on %s: ending this process", self._path, *_who(holder))
                    os._exit(ROBBED)  # nothing more may be written into the folder
                os.utime(self._path)
            except FileNotFoundError:
                return
            except (
                OSError
            ) as error:  # a network file system may fail for a moment; others wait `STALE_S` for the next heartbeat
                logger.warning("%s: heartbeat failed (%s)", self._path, error.strerror or error)

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)


def check_free(folder: Path, name: str = NAME) -> None:
    """Raises `UsageError` if a running process holds the lock of a folder, or if that is unknown."""
    try:
        holder, age = read_lock(folder / name), heartbeat_age_s(folder, name)
    except OSError as error:
        raise UsageError(
            f"OUTPUT_DIR {folder}: its {name} cannot be read ({error.strerror or error}), so a run may be using it: "
            "try again, or choose another OUTPUT_DIR"
        ) from error
    if holder is None or _is_gone(holder) or age > STALE_S:
        return
    raise UsageError(
        f"OUTPUT_DIR {folder} is in use by process {holder['pid']} on {holder['host']}"
        f"{' (job ' + holder['job'] + ')' if holder['job'] else ''}, last heartbeat {age:.0f} s ago: "
        f"wait for it, end it, or choose another OUTPUT_DIR"
    )


def read_lock(path: Path) -> dict[str, Any] | None:
    """Returns the holder of a lock; None if it does not exist, or was only partly written.

    Raises:
        OSError: It exists and cannot be read.
    """
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return holder if isinstance(holder, dict) and {"host", "pid", "job"} <= holder.keys() else None


def heartbeat_age_s(folder: Path, name: str = NAME) -> float:
    """Returns the seconds since the last heartbeat of a lock; infinite without a lock."""
    try:
        return max(0.0, time.time() - (folder / name).stat().st_mtime)
    except (FileNotFoundError, NotADirectoryError):
        return float("inf")


def _this_job() -> dict[str, str]:
    """Returns Slurm's job id, which a requeue keeps, and the number of the attempt, which it increments."""
    return {"job": os.environ.get("SLURM_JOB_ID", ""), "life": os.environ.get("SLURM_RESTART_COUNT", "0")}


def _who(holder: dict[str, Any]) -> tuple[Any, Any]:
    return holder["pid"], holder["host"]


def _is_gone(holder: dict[str, Any]) -> bool:
    own = _this_job()
    if holder["job"] and holder["job"] == own["job"] and holder.get("life") != own["life"]:
        return True  # an earlier attempt of this job
    return has_ended(holder) or (holder["host"] == socket.gethostname() and int(holder["pid"]) == os.getpid())


def has_ended(holder: dict[str, Any]) -> bool:
    """Whether the process that a lock names ran on this machine and has ended."""
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it belongs to another user, and runs
    return False
