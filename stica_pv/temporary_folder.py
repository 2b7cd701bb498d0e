"""Temporary folders that no kill leaves for good: the owner holds a lock, the next start removes what nobody holds."""

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
PREFIX = "stica_pv-"  # of the folder of a process
LONGEST_SOCKET = 107  # letters of the path of a socket, which multiprocessing makes in its folder
_OF_MULTIPROCESSING = "/pymp-xxxxxxxx/listener-xxxxxxxx"


@contextlib.contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Makes a folder that is gone at the end; removes those of killed processes of this machine that it finds beside.

    Args:
        parent: Where to make it.
        prefix: Of its name, and of theirs.

    Raises:
        OSError: It cannot be made.
    """
    _remove_left(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, folder, os.getpid())
        _lock(folder, stack)  # a process that this one forks holds it too
        yield folder


@functools.cache
def keep_sockets_together() -> None:
    """Puts what multiprocessing makes for this process and those it starts (``pymp-*``) into a folder of this kind."""
    base = Path(tempfile.gettempdir())
    if len(str(base / f"{PREFIX}xxxxxxxx")) + len(_OF_MULTIPROCESSING) > LONGEST_SOCKET:
        logger.debug("%s is too long a path for sockets in folders of it", base)
        return
    stack = contextlib.ExitStack()
    folder = stack.enter_context(temporary_folder(base, PREFIX))
    multiprocessing.util.Finalize(None, stack.close, exitpriority=-200)  # behind multiprocessing's own
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        multiprocessing.util.get_temp_dir()  # is made once for a process, and handed down
    finally:
        tempfile.tempdir = before


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # and not in a process that was forked meanwhile
        shutil.rmtree(folder, ignore_errors=True)


def _lock(folder: Path, stack: contextlib.ExitStack) -> None:
    """Locks a new folder until the stack is left, before anybody can find it unlocked."""
    partial = folder / f"{LOCK}.partial"
    file = stack.enter_context(partial.open("w", encoding="utf-8"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        logger.debug("%s cannot be locked (%s): it stays if this process is killed", folder, error)
        return
    file.write(socket.gethostname())
    file.flush()
    os.replace(partial, folder / LOCK)


def _remove_left(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        if _is_left(folder):
            logger.debug("removing %s, which a run that was killed has left", folder)
            shutil.rmtree(folder, ignore_errors=True)


def _is_left(folder: Path) -> bool:
    """Whether a folder is one of ours whose owner, of this machine, has ended; locks of others may not be seen here."""
    try:
        with open(os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW), "r+", encoding="utf-8") as file:
            if file.read() != socket.gethostname():
                return False
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # it is no folder of ours, is in use, or belongs to somebody else
        return False
    return True
