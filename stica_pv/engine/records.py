"""Records of a run: metrics.jsonl (reproducible numbers), json_stats.log (with timings), and trackers."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stica_pv.engine.summary import RunSummary
from stica_pv.engine.trackers.tracker import Tracker
from stica_pv.errors import RunFailed
from stica_pv.partial_file import partial_file

METRICS = "metrics.jsonl"
STATS = "json_stats.log"
EPOCH_END = "epoch_end"  # key of lines about an epoch, absent in lines about a step


# What the engine records with each logged step; a method describes its own numbers.
METRIC_DESCRIPTIONS = {
    "epoch": "Epochs done, as a fraction.",
    "lr": "Learning rate of the step, before the factors of parameter groups.",
    "grad_norm": "L2 norm of all gradients, before clipping.",
    "step_time": "Wall time of a step in seconds, data wait included.",
    "data_time": "Time in seconds that a step waits for its batch.",
    "data_share": "Share of the wall time that is data wait, 0 to 1.",
    "samples_per_second": "Videos per second over all processes.",
    "memory_mb": "Peak memory in MiB: of the GPU, or of the process on a CPU.",
    "online_knn/top1": "Accuracy in % of kNN on held-out training videos (TEST.ONLINE_KNN_EPOCHS).",
    "online_linear/top1": "Accuracy in % of a linear probe (ridge regression, fitted anew) on the same videos.",
    "rankme_video": "RankMe (Garrido et al. 2023) of their pooled video features: exp of the entropy of the singular "
    "values; 1 if all are equal (collapse).",
    "lidar_video": "LiDAR (Thilak et al. 2024) of the same features: the same of the covariance of videos relative to "
    "that of the clips of one video; needs TEST.ONLINE_KNN_CLIPS 2.",
    "finetune/top1": "Accuracy in % on the test list after an epoch of fine-tuning.",
}


class Records:
    """Writes the numbers of logged steps. On a resume it first truncates the files to the step of the checkpoint.

    metrics.jsonl has only numbers that a repeated run reproduces bit for bit; timings are in json_stats.log, whose
    lines have SlowFast's format.

    Trackers (`stica_pv.engine.trackers`) get the same numbers, those of steps under ``Train/``.

    Attributes:
        summary: Summary of the steps written here.
        recorded: Steps with a line about the end of an epoch.
    """

    def __init__(self, output_dir: Path, *, resume_step: int, trackers: Sequence[Tracker] = ()) -> None:
        self.summary = RunSummary(resume_step)
        output_dir.mkdir(parents=True, exist_ok=True)
        lines = _whole_lines(output_dir / METRICS) if trackers else ()
        self._logged_before = {(line["step"], EPOCH_END in line) for _, line in lines}
        for name in (METRICS, STATS):
            with _as_failure(output_dir / name):
                _truncate(output_dir / name, resume_step)
        self.recorded = {line["step"] for line in read_metrics(output_dir) if EPOCH_END in line}
        self._metrics = (output_dir / METRICS).open("a", encoding="utf-8")
        self._stats = (output_dir / STATS).open("a", encoding="utf-8")
        self._trackers = trackers

    def write(self, step: int, numbers: dict[str, float], timings: dict[str, float]) -> None:
        """Appends one logged step; both files are flushed, so that a kill leaves complete lines."""
        self.summary.add(step, numbers, timings)
        self._append(self._metrics, {"step": step, **numbers})
        self._append(self._stats, {"_type": "train_iter", "step": step, **numbers, **timings})
        for tracker in self._pending_trackers((step, False)):
            tracker.log(step, {f"Train/{name}": value for name, value in {**numbers, **timings}.items()})

    def write_epoch(self, step: int, epoch: int, numbers: dict[str, float]) -> None:
        """Appends the numbers of the end of an epoch; the first epoch is 1."""
        self.recorded.add(step)
        self._append(self._metrics, {"step": step, EPOCH_END: epoch, **numbers})
        self._append(self._stats, {"_type": "val_epoch", "step": step, EPOCH_END: epoch, **numbers})
        for tracker in self._pending_trackers((step, True)):
            tracker.log(step, numbers)

    def _pending_trackers(self, line: tuple[int, bool]) -> list[Tracker]:
        """Returns the trackers without this line; an earlier attempt may have passed its last checkpoint."""
        return [tracker for tracker in self._trackers if tracker.takes_back or line not in self._logged_before]

    @staticmethod
    def _append(file: Any, line: dict[str, Any]) -> None:
        with _as_failure(Path(file.name)):
            file.write(json.dumps(line) + "\n")
            file.flush()

    def close(self) -> None:
        """Closes files and trackers."""
        for file in (self._metrics, self._stats):
            with suppress(OSError):  # on a full disk it tries to write the last line again
                file.close()
        for tracker in self._trackers:
            tracker.close()


def read_metrics(output_dir: Path) -> list[dict[str, float]]:
    """Returns the lines of a run's metrics.jsonl."""
    path = output_dir / METRICS
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


@contextmanager
def _as_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunFailed(
            f"cannot write {path}: {error.strerror or error}; the checkpoints are untouched: "
            "free disk space and repeat the command to continue"
        ) from error


def _whole_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each line as text and parsed; an incomplete last line of a killed run is left out."""
    for text in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []:
        with suppress(json.JSONDecodeError):
            line = json.loads(text)
            if "step" in line:
                yield text, line


def _truncate(path: Path, step: int) -> None:
    if not path.is_file():
        return
    kept = [text for text, line in _whole_lines(path) if line["step"] <= step]
    with partial_file(path) as partial:
        partial.write_text("".join(kept), encoding="utf-8")
