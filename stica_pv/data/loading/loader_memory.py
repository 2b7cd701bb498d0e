"""Memory that the batches of a loader need and that this process may use, compared before the first step."""

import logging
import math
from collections.abc import Iterable
from pathlib import Path

import torch

from stica_pv.data.loading.loader_pool import PREFETCH
from stica_pv.structures import Views

logger = logging.getLogger(__name__)

_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")  # of a container, in the two versions of cgroups
_MEMINFO = Path("/proc/meminfo")
_LONG_S = 60.0  # duration of a video that is long enough for all windows


def sample_bytes(views: Views) -> int:
    """Return the bytes of the views of one video: frames as uint8, flow as two channels, audio as float32."""
    windows = views.sample_windows(max(_LONG_S, views.min_seconds), torch.Generator().manual_seed(0))
    size = 0
    for spec in views.specs:
        size += spec.frames * (2 if spec.flow else 3) * spec.size**2
        if spec.audio is not None:
            size += 4 * round(windows[spec.window].seconds * spec.audio.sample_rate_hz)
    return size


def loader_bytes(views: Views, batch_size: int, workers: int, prefetch: int = PREFETCH) -> int:
    """Return the bytes of all batches that may exist at a time: those prefetched by each worker, and the one in use.

    Args:
        views: Views to make of each video.
        batch_size: Videos in a batch of this process.
        workers: Number of worker processes; 0 makes each batch on demand.
        prefetch: Number of batches that a worker prefetches.
    """
    return sample_bytes(views) * batch_size * (workers * prefetch + 1)


def available_bytes(cgroup: Path = _CGROUP, meminfo: Path = _MEMINFO) -> int | None:
    """Return the most memory that this process may get: the free memory of the machine, or the container's limit.

    The memory that a container uses already is not subtracted: most of it may be file cache, which can be reclaimed.
    """
    found = [int(line.split()[1]) * 1024 for line in _lines(meminfo) if line.startswith("MemAvailable:")]
    found += [int(line) for name in _LIMITS for line in _lines(cgroup / name) if line.isdecimal()]  # "max": no limit
    return min(found, default=None)


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:  # the file does not exist on this system, or is not readable
        return ()


def warn_if_too_large(views: Views, batch_size: int, workers: int, available: int | None) -> None:
    """Log a warning if the batches of a loader may not fit into memory."""
    needed = loader_bytes(views, batch_size, workers)
    if available is None or needed <= available:
        return
    logger.warning(
        "the batches of the loader may need %s of memory, and %s are available: each of %d workers prefetches %d "
        "batches of %d videos, %s per video; lower DATA_LOADER.NUM_WORKERS or TRAIN.BATCH_SIZE, or raise the memory "
        "limit of the job or container (docs/containers.md)",
        *(in_gib(needed), in_gib(available), workers, PREFETCH, batch_size, in_gib(sample_bytes(views))),
    )


def in_gib(size: int) -> str:
    """Return a size as text, rounded up: ``1.2 GiB``."""
    return f"{math.ceil(10 * size / 2**30) / 10:.1f} GiB" if size >= 2**29 else f"{math.ceil(size / 2**20)} MiB"
