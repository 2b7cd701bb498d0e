"""What a run did, for the one line it ends with."""

import datetime
import time


class RunSummary:
    """Sums what the logged steps told, from the start of this life of a run."""

    def __init__(self, start: int) -> None:
        """Begins the count after `start` steps."""
        self._start, self._logged, self._begin = start, start, time.monotonic()
        self._seconds = self._waited = self._samples = 0.0
        self._loss: float | None = None

    def add(self, step: int, numbers: dict[str, float], timings: dict[str, float]) -> None:
        """Takes the numbers of a logged step, which are means over the steps since the one before."""
        seconds = (step - self._logged) * timings.get("step_time", 0.0)
        self._seconds += seconds
        self._waited += seconds * timings.get("data_share", 0.0)
        self._samples += seconds * timings.get("samples_per_second", 0.0)
        self._logged, self._loss = step, numbers.get("loss", self._loss)

    def line(self, step: int, checkpoint: object) -> str:
        """Returns the line after `step` steps, for a checkpoint that lies at a place."""
        duration = datetime.timedelta(seconds=round(time.monotonic() - self._begin))
        parts = [f"trained {step - self._start} steps in {duration}"]
        if self._seconds > 0:
            parts.append(f"{self._samples / self._seconds:.1f} samples/s")
            parts.append(f"data wait {100 * self._waited / self._seconds:.0f}%")
        if self._loss is not None:
            parts.append(f"last loss {self._loss:.4f}")
        return ", ".join([*parts, f"checkpoint {checkpoint}"])
