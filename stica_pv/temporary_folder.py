"""Temporary folders that do not outlive a kill: the owner holds a lock, and the next start removes unlocked ones."""

import contextlib
import fcntl
import functools
import logging
import multiprocessing.util
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

logger = logging.getLogger(__name__)

LOCK = ".stica_pv_lock"
PREFIX = "stica_pv-"  # name prefix of the folder of a process
LONGEST_SOCKET = 107  # characters in the path of a socket, which multiprocessing makes in its folder
_OF_MULTIPROCESSING = "/pymp-xxxxxxxx/listener-xxxxxxxx"


@contextlib.contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Makes a folder and removes it at the end; first removes those that killed processes of this machine left there.

    Args:
        parent: Parent folder.
        prefix: Prefix of the name, also of the folders to remove.

    Raises:
        OSError: The folder cannot be created.
    """
    _remove_abandoned(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, folder, os.getpid())
        _lock(folder, stack)  # a process forked from this one holds the lock too
        yield folder


@functools.cache
def keep_sockets_together() -> None:
    """Puts the folders that multiprocessing makes for this process and its children (``pymp-*``) into such a folder."""
    base = Path(tempfile.gettempdir())
    if len(str(base / f"{PREFIX}xxxxxxxx")) + len(_OF_MULTIPROCESSING) > LONGEST_SOCKET:
        logger.debug("%s is too long a path for sockets in folders of it", base)
        return
    stack = contextlib.ExitStack()
    folder = stack.enter_context(temporary_folder(base, PREFIX))
    multiprocessing.util.Finalize(None, stack.close, exitpriority=-200)  # after multiprocessing's own
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        multiprocessing.util.get_temp_dir()  # created once per process, and inherited
    finally:
        tempfile.tempdir = before


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a process that was forked meanwhile
        shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path, stack: contextlib.ExitStack) -> None:
    """Locks a new folder until the stack is left, before another process can find it unlocked."""
    partial = folder / f"{LOCK}.partial"
    file = stack.enter_context(partial.open("w", encoding="utf-8"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        logger.debug("%s cannot be locked (%s): it is not removed if this process is killed", folder, error)
        return
    file.write(socket.gethostname())
    file.flush()
    os.replace(partial, folder / LOCK)


def _remove_abandoned(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        if _is_abandoned(folder):
            logger.debug("removing %s, left by a killed run", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Whether a folder is ours and its owner, on this machine, has ended; locks of other machines are not visible."""
    try:
        with open(os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW), "r+", encoding="utf-8") as file:
            if file.read() != socket.gethostname():
                return False
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it is not ours, is in use, or belongs to another user
        return False
    return True
