"""Summary of a run, for its last log line."""

import datetime
import time


class RunSummary:
    """Sums the numbers of logged steps since the start of this attempt."""

    def __init__(self, start: int) -> None:
        """Begins the count after `start` steps."""
        self._start, self._logged, self._begin = start, start, time.monotonic()
        self._seconds = self._waited = self._samples = 0.0
        self._loss: float | None = None

    def add(self, step: int, numbers: dict[str, float], timings: dict[str, float]) -> None:
        """Adds the numbers of a logged step, which are means since the previous one."""
        seconds = (step - self._logged) * timings.get("step_time", 0.0)
        self._seconds += seconds
        self._waited += seconds * timings.get("data_share", 0.0)
        self._samples += seconds * timings.get("samples_per_second", 0.0)
        self._logged, self._loss = step, numbers.get("loss", self._loss)

    def line(self, step: int, checkpoint: object) -> str:
        """Returns the line after `step` steps, with the path of the checkpoint."""
        duration = datetime.timedelta(seconds=round(time.monotonic() - self._begin))
        parts = [f"trained {step - self._start} steps in {duration}"]
        if self._seconds > 0:
            parts.append(f"{self._samples / self._seconds:.1f} samples/s")
            parts.append(f"data wait {100 * self._waited / self._seconds:.0f}%")
        if self._loss is not None:
            parts.append(f"last loss {self._loss:.4f}")
        return ", ".join([*parts, f"checkpoint {checkpoint}"])
