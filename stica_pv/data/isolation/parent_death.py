"""Ends a process with the one that started it, even where that one is killed: nobody is left behind."""

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1  # prctl(2)


def watched_parent() -> int:
    """Returns what a process that is about to be started hands to `end_with_parent`; 0 if it cannot watch this one.

    The kernel watches the thread that starts a process. Other threads than the main one may end long before theirs.
    """
    return os.getpid() if threading.current_thread() is threading.main_thread() else 0


def end_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Sends this process a signal when its parent ends. Elsewhere than on Linux it does nothing.

    Args:
        parent: `watched_parent` of the parent, asked before this process was started.
        number: The signal.
    """
    if not parent or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)
