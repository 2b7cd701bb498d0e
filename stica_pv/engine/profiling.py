"""Profiles training steps: a trace of some steps, and a short table in the log."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.profiler import ProfilerActivity, profile, record_function, schedule

logger = logging.getLogger(__name__)

FOLDER = "profile"
WARM_UP = 2  # skipped steps: they build caches, choose kernels and start the loader's workers
ROWS = 10
_LOADING = "wait for a batch"
_STEP = "ProfilerStep"

Item = TypeVar("Item")


def next_recorded(items: Iterator[Item]) -> Item | None:
    """Returns the next item, None at the end; a trace shows how long that took."""
    with record_function(_LOADING):
        return next(items, None)


class StepProfile:
    """Records `steps` training steps of this process after `WARM_UP` others; with 0 steps it does nothing.

    The run continues afterwards. If the run ends before the last of these steps, there is no trace.
    """

    def __init__(self, folder: Path, steps: int, device: torch.device) -> None:
        """Prepares the recording.

        Args:
            folder: Folder of the run; the trace is saved in its ``profile/``.
            steps: Number of steps to record; 0 for none.
            device: Device of the steps.
        """
        self._on_gpu = device.type == "cuda"
        self._folder, self._steps, self._left = folder / FOLDER, steps, steps + WARM_UP if steps else 0
        self._profiler: profile | None = None

    def __enter__(self) -> "StepProfile":
        if self._steps:
            os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # otherwise it logs each of its stages to stderr
            activities = [ProfilerActivity.CPU]
            activities += [ProfilerActivity.CUDA] if self._on_gpu else []
            plan = schedule(wait=WARM_UP - 1, warmup=1, active=self._steps, repeat=1)
            self._profiler = profile(activities=activities, schedule=plan)
            self._profiler.start()
        return self

    def after_step(self, step: int) -> None:
        """Called after each step with the number of steps done."""
        if self._profiler is None:
            return
        self._left -= 1
        if self._left == 0 and self._on_gpu:
            torch.cuda.synchronize()  # kernels of the last step belong to it
        self._profiler.step()
        if self._left == 0:
            recorded, self._profiler = self._profiler, None
            recorded.stop()
            path = self._folder / f"steps_{step - self._steps + 1}-{step}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            recorded.export_chrome_trace(str(path))
            table = _table(recorded, self._steps, on_gpu=self._on_gpu)
            logger.info("%s", "\n".join([*table, f"trace: {path} (for ui.perfetto.dev)"]))

    def __exit__(self, *exception: object) -> None:
        if self._profiler is not None:
            self._profiler.stop()
            logger.warning("--profile: the run ended %d steps before its trace was complete", self._left)


def _table(recorded: profile, steps: int, *, on_gpu: bool) -> list[str]:
    """Returns lines with the operations of the largest own time, and the share of waiting for data."""
    averages = recorded.key_averages()
    whole_us = sum(row.cpu_time_total for row in averages if row.key.startswith(_STEP))
    wait_us = sum(row.cpu_time_total for row in averages if row.key.startswith(_LOADING))

    def own_us(row: Any) -> float:
        return float(row.self_device_time_total if on_gpu else row.self_cpu_time_total)

    # GPU kernels have their own rows; their time is also in the rows of the operations that started them.
    operations = [row for row in averages if row.device_type.name == "CPU"]
    rows = [row for row in operations if not row.key.startswith((_STEP, _LOADING))]
    rows = sorted(rows, key=own_us, reverse=True)[:ROWS]
    whole_us = max(whole_us, 1e-9)
    return [
        f"profile of {steps} steps: {whole_us / steps / 1e3:.1f} ms a step, data wait {100 * wait_us / whole_us:.0f}%",
        f"{'operation (' + ('GPU' if on_gpu else 'CPU') + ', own time)':<52} {'calls':>7} {'ms/step':>9} {'share':>6}",
        *(
            f"{row.key[:52]:<52} {row.count / steps:>7.0f} {own_us(row) / steps / 1e3:>9.2f} "
            f"{100 * own_us(row) / whole_us:>5.0f}%"
            for row in rows
        ),
    ]
