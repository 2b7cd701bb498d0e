"""Averages between logged steps, kept on the device so that no step synchronizes with the host."""

import resource
import time

import torch
from torch import Tensor

from stica_pv.distributed import mean_over_processes


class Meter:
    """Sums of each scalar since the last logged step, and the first step whose loss was not finite."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._first_bad = torch.full((), -1, dtype=torch.long, device=device)

    def add(self, step: int, scalars: dict[str, Tensor], *, watch_gradients: bool = True) -> None:
        """Adds one step's detached 0-d tensors.

        Without `watch_gradients` only losses must be finite: fp16 gradients overflow by design, and such steps are
        skipped by the scaler.
        """
        for name, value in scalars.items():
            value = value.float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        watched = [value for name, value in scalars.items() if watch_gradients or name != "grad_norm"]
        finite = torch.stack([torch.isfinite(value) for value in watched]).all()
        self._first_bad = torch.where((self._first_bad < 0) & ~finite, step, self._first_bad)
        self._count += 1

    def first_bad_step(self) -> int | None:
        """Returns the first step with a non-finite scalar, or None. Synchronizes with the device."""
        step = int(self._first_bad)
        return None if step < 0 else step

    def bad_terms(self) -> list[str]:
        """Returns the scalars whose sum since the last logged step is not finite. Synchronizes with the device."""
        return [name for name, value in self._sums.items() if not bool(torch.isfinite(value))]

    def take_means(self) -> dict[str, float]:
        """Returns means over steps and processes since the last call. Synchronizes with the device."""
        names = list(self._sums)
        means = mean_over_processes(torch.stack([self._sums[name] for name in names]) / self._count).tolist()
        self._sums, self._count = {}, 0
        return dict(zip(names, means, strict=True))

    def share(self) -> None:
        """Replaces the sums by their means over processes, so that one checkpoint can resume all of them."""
        names = list(self._sums)
        if names:
            shared = mean_over_processes(torch.stack([self._sums[name] for name in names]))
            self._sums = dict(zip(names, shared.unbind(), strict=True))

    def state(self) -> dict[str, object]:
        """Returns plain values for a checkpoint between two logged steps."""
        return {"count": self._count, "sums": {name: value.clone() for name, value in self._sums.items()}}

    def load(self, state: dict[str, object]) -> None:
        """Restores `state`."""
        self._count = state["count"]  # type: ignore[assignment]
        self._sums = {name: value.to(self._device) for name, value in state["sums"].items()}  # type: ignore[attr-defined]


class Clock:
    """Wall time between logged steps, and the time spent waiting for data."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._reset()
        self._last = self._start

    def _reset(self) -> None:
        self._start = time.perf_counter()
        self._data_wait = 0.0
        self._steps = 0

    def wait_begins(self) -> None:
        """Marks the start of the wait for the next batch."""
        self._last = time.perf_counter()

    def data_ready(self) -> None:
        """Marks the arrival of a batch."""
        self._data_wait += time.perf_counter() - self._last

    def step_done(self) -> None:
        """Marks the end of a step; later work, such as writing a checkpoint, is neither waiting nor a step."""
        self._steps += 1

    def take_timings(self, batch_size: int) -> dict[str, float]:
        """Returns seconds per step, share of waiting, samples per second and memory in MB; then resets."""
        seconds = max(1e-9, time.perf_counter() - self._start)
        timings = {
            "step_time": seconds / self._steps,
            "data_time": self._data_wait / self._steps,
            "data_share": self._data_wait / seconds,
            "samples_per_second": self._steps * batch_size / seconds,
            "memory_mb": memory_mb(self._device),
        }
        self._reset()
        return timings


def memory_mb(device: torch.device) -> float:
    """Returns the peak memory in MB: of the GPU if the device is one, otherwise of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
