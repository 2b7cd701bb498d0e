"""Description of the machine, and the load of other processes during a benchmark."""

import importlib.metadata
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "torchvision", "pytorchvideo", "av", "numpy")
BUSY = 0.15
"""Share of all cores used by other processes, above which the machine is called noisy."""


def describe_machine() -> dict[str, Any]:
    """Returns hardware and versions as plain values."""
    machine = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    return machine | {name: _version(name) for name in PACKAGES}


def describe(machine: dict[str, Any]) -> str:
    """Returns a one-line description of a machine."""
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", *PACKAGES) if machine[name])
    gpu = machine["gpu"] or "no GPU"
    return f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {gpu}; {versions}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


class Watch:
    """Measures the CPU use of other processes while a benchmark runs, if Linux reports it."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self._busy, self._own = _busy_seconds(), _own_seconds()
        self.load_before = os.getloadavg()[0]

    def taken(self) -> dict[str, Any]:
        """Returns load averages before and now, and the share of all cores used by others (None: unknown)."""
        seconds = max(1e-9, time.perf_counter() - self._begin) * (os.cpu_count() or 1)
        busy, share = _busy_seconds(), None
        if busy is not None and self._busy is not None:
            share = max(0.0, (busy - self._busy - (_own_seconds() - self._own)) / seconds)
        return {"load_before": self.load_before, "load_after": os.getloadavg()[0], "others_share": share}


def warnings_of(taken: dict[str, Any]) -> list[str]:
    """Returns warnings about load by other processes."""
    share, cores = taken["others_share"], os.cpu_count() or 1
    if share is not None:
        return [f"other processes used {share:.0%} of {cores} cores during the benchmark"] if share > BUSY else []
    load = taken["load_before"]
    return [f"load average {load:.1f} on {cores} cores before the start"] if load > BUSY * cores else []


def _busy_seconds() -> float | None:
    stat = Path("/proc/stat")
    if not stat.is_file():
        return None
    user, nice, system, _idle, _wait, irq, soft, *_ = map(
        int, stat.read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))
