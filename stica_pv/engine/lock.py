"""One run a folder: a lock that tells who holds it, and that outlives no process for long."""

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
STALE_S = 180.0  # without a heartbeat; nine in a row were missed
ROBBED = 4  # exit code of a process whose lock another has taken


class RunLock:
    """Holds `OUTPUT_DIR/run.lock` while entered. The file names host, process and job, and is touched regularly.

    A lock is taken over when its process is known to be gone (same host), when it belongs to an earlier life of the
    same Slurm job (a requeue), or when its heart has not beaten for `STALE_S`. A process whose lock was taken ends at
    its next heartbeat: it was cut off, and somebody else writes into the folder now.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._stop = threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)
        self._own = {"host": socket.gethostname(), "pid": os.getpid(), **_this_job(), "id": uuid.uuid4().hex}

    def __enter__(self) -> "RunLock":
        """Takes the lock.

        Raises:
            UsageError: Another run holds it, or the folder cannot be written.
        """
        while not self._create():
            check_free(self._path.parent)
            self._remove_stale()
        self._heart.start()
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
        """Removes the lock that was judged; of two that do so at once, one gets it by renaming."""
        aside = self._path.with_name(f"{NAME}.{self._own['id']}")
        try:
            self._path.rename(aside)
        except FileNotFoundError:
            return
        try:
            check_free(self._path.parent, aside.name)
        except UsageError:  # it is another's new one: given back, unless a third has come meanwhile
            if not self._path.exists():
                aside.rename(self._path)
            raise
        aside.unlink()

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                holder = read_lock(self._path)
                if holder is not None and holder.get("id") != self._own["id"]:
                    logger.critical("%s was taken by process %s on %s: this one ends", self._path, *_who(holder))
                    os._exit(ROBBED)  # not a word more may be written into the folder
                os.utime(self._path)
            except FileNotFoundError:
                return
            except OSError as error:  # a network's file system stumbles; others wait `STALE_S` for the next beat
                logger.warning("%s: no heartbeat this time (%s)", self._path, error.strerror or error)

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._heart.join()
        self._path.unlink(missing_ok=True)


def check_free(folder: Path, name: str = NAME) -> None:
    """Raises `UsageError` if a living run holds the lock of a folder, or if nobody can tell."""
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
        f"{' (job ' + holder['job'] + ')' if holder['job'] else ''}, seen {age:.0f} s ago: "
        f"wait for it, end it, or choose another OUTPUT_DIR"
    )


def read_lock(path: Path) -> dict[str, Any] | None:
    """Returns who holds a lock; None if it is gone, or was cut off while it was written.

    Raises:
        OSError: It is there, and cannot be read.
    """
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None
    return holder if isinstance(holder, dict) and {"host", "pid", "job"} <= holder.keys() else None


def heartbeat_age_s(folder: Path, name: str = NAME) -> float:
    """Seconds since the heart of a lock has beaten; infinite without a lock."""
    try:
        return max(0.0, time.time() - (folder / name).stat().st_mtime)
    except (FileNotFoundError, NotADirectoryError):
        return float("inf")


def _this_job() -> dict[str, str]:
    """Slurm's number of this job and of its life: a requeued job keeps the one and counts the other."""
    return {"job": os.environ.get("SLURM_JOB_ID", ""), "life": os.environ.get("SLURM_RESTART_COUNT", "0")}


def _who(holder: dict[str, Any]) -> tuple[Any, Any]:
    return holder["pid"], holder["host"]


def _is_gone(holder: dict[str, Any]) -> bool:
    own = _this_job()
    if holder["job"] and holder["job"] == own["job"] and holder.get("life") != own["life"]:
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
