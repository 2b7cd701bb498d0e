"""Ends a process together with its parent, even if the parent is killed, so that no process is left behind."""

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1  # prctl(2)


def watched_parent() -> int:
    """Return the argument of `end_with_parent` for a process to be started; 0 if the parent cannot be watched.

    The kernel watches the thread that starts a process. Threads other than the main one may end before their process.
    """
    return os.getpid() if threading.current_thread() is threading.main_thread() else 0


def end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Let the kernel send this process a signal when its parent ends. Does nothing on systems other than Linux.

    Args:
        parent: Result of `watched_parent` in the parent, before this process was started.
        number: The signal.
    """
    if not parent or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)
