"""What this process holds open, so that a test finds what it left behind."""

import gc
import os
from collections import Counter
from pathlib import Path

import pytest


def open_files() -> Counter[str]:
    """The targets of the open file descriptors; what awaits the garbage collector is closed first.

    A test compares by difference (`open_files() - before`): files of earlier tests may close at any time.
    """
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files are listed under /proc: Linux only")
    gc.collect()
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
    return Counter(os.readlink(link) for link in links if link.is_symlink())
