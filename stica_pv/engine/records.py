"""The files a run leaves: metrics.jsonl (numbers that repeat), json_stats.log and TensorBoard (with timings)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stica_pv.engine.summary import RunSummary
from stica_pv.errors import UsageError

METRICS = "metrics.jsonl"
STATS = "json_stats.log"
EPOCH_END = "epoch_end"  # the key that tells the line of an epoch from that of a step


class Records:
    """Writes the numbers of logged steps. On a resume the files are first cut back to the checkpoint's step.

    metrics.jsonl holds only what a repeated run gives again, bit for bit; timings stand in json_stats.log, whose
    lines have SlowFast's form.

    Attributes:
        summary: What the steps written here add up to.
        told: Steps after which the end of an epoch was written.
    """

    def __init__(self, output_dir: Path, *, resume_step: int, tensorboard_dir: Path | None = None) -> None:
        self.summary = RunSummary(resume_step)
        output_dir.mkdir(parents=True, exist_ok=True)
        for name in (METRICS, STATS):
            with _as_usage_error(output_dir / name):
                _cut_back(output_dir / name, resume_step)
        self.told = {line["step"] for line in read_metrics(output_dir) if EPOCH_END in line}
        self._metrics = (output_dir / METRICS).open("a", encoding="utf-8")
        self._stats = (output_dir / STATS).open("a", encoding="utf-8")
        self._tensorboard = _open_tensorboard(tensorboard_dir, resume_step) if tensorboard_dir else None

    def write(self, step: int, numbers: dict[str, float], timings: dict[str, float]) -> None:
        """Appends one logged step; both files are flushed, so that a kill leaves whole lines."""
        self.summary.add(step, numbers, timings)
        self._append(self._metrics, {"step": step, **numbers})
        self._append(self._stats, {"_type": "train_iter", "step": step, **numbers, **timings})
        if self._tensorboard is not None:
            for name, value in {**numbers, **timings}.items():
                self._tensorboard.add_scalar(f"Train/{name}", value, step)

    def write_epoch(self, step: int, epoch: int, numbers: dict[str, float]) -> None:
        """Appends what was found at the end of an epoch, the first of which is 1."""
        self.told.add(step)
        self._append(self._metrics, {"step": step, EPOCH_END: epoch, **numbers})
        self._append(self._stats, {"_type": "val_epoch", "step": step, EPOCH_END: epoch, **numbers})
        if self._tensorboard is not None:
            for name, value in numbers.items():
                self._tensorboard.add_scalar(name, value, step)

    @staticmethod
    def _append(file: Any, line: dict[str, Any]) -> None:
        with _as_usage_error(Path(file.name)):
            file.write(json.dumps(line) + "\n")
            file.flush()

    def close(self) -> None:
        """Closes the files."""
        for file in (self._metrics, self._stats):
            with suppress(OSError):  # on a full disk the line that did not fit is tried once more
                file.close()
        if self._tensorboard is not None:
            self._tensorboard.close()


def read_metrics(output_dir: Path) -> list[dict[str, float]]:
    """Returns the lines of a run's metrics.jsonl."""
    path = output_dir / METRICS
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


@contextmanager
def _as_usage_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; the checkpoints are untouched: "
            "make room, and the same command continues"
        ) from error


def _cut_back(path: Path, step: int) -> None:
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        try:
            number = json.loads(line)["step"]
        except (json.JSONDecodeError, KeyError):
            continue  # the last line of a killed run
        if number <= step:
            kept.append(line)
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(kept), encoding="utf-8")
    partial.replace(path)


def _open_tensorboard(folder: Path, resume_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError("TENSORBOARD.ENABLE needs the extra: pip install 'stica_pv[tensorboard]'") from error
    return SummaryWriter(str(folder), purge_step=resume_step + 1)
