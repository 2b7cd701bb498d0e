"""Tiny runs on the cluster of the tests, compared with runs of the same kind that nothing disturbed."""

import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster import Cluster, wait_until
from tiny_runs import arguments, assert_same_weights, losses, metrics_text, weights, write_tiny

from stica_pv.launch.submit import submit
from stica_pv.launch.sweep import expand

STEPS = 18
SETTINGS: dict[str, Any] = {
    "SOLVER__MAX_EPOCH": STEPS // 3,  # of 12 clips by 4
    "SOLVER__BASE_LR": 0.01,
    "CUSTOM_IMPORTS": "['paced']",
    "SUBMITIT__NODES": 2,
    "SUBMITIT__TIME_MINUTES": 60,
    "DATA_LOADER__NUM_WORKERS": 1,  # signals reach it too
}
RESUMED = re.compile(r"resuming from \S+ \(step (\d+)\)")
Row = tuple[str, str, int, list[int], float, bool]


@dataclass
class Runs:
    """Starts runs, and remembers the undisturbed ones by their number of tasks on a node.

    Attributes:
        cluster: Where they run.
        clips: What they train on.
        folder: For their output.
    """

    cluster: Cluster
    clips: Path
    folder: Path
    _straight: dict[int, Path] = field(default_factory=dict)
    _rows: list[Row] = field(default_factory=list)

    def begin(self, name: str, *, pace_s: float = 0.0, failure: str = "", tasks: int = 1, **overrides: Any) -> str:
        """Submits a run into the folder `name`; its job id."""
        os.environ.update(
            PACED_SECONDS=str(pace_s), PACED_FAILURE=failure, PYTHONPATH=str(Path(__file__).parent), OMP_NUM_THREADS="1"
        )
        cfg = write_tiny(self.folder / "tiny.yaml")
        given = arguments(self.clips, self.folder / name, SUBMITIT__TASKS_PER_NODE=tasks, **(SETTINGS | overrides))
        cfgs = expand([str(cfg)], given, [])
        (job,) = submit(cfgs, "slurm")
        return job

    def await_steps(self, name: str, steps: int) -> None:
        """Waits until a run has logged some steps."""
        path = self.folder / name / "metrics.jsonl"
        wait_until(lambda: path.is_file() and path.read_text().count("\n") >= steps, f"{steps} steps of {name}")

    def straight(self, tasks: int) -> Path:
        """OUTPUT_DIR of the run that nothing disturbs."""
        if tasks not in self._straight:
            name = f"straight-{tasks}"
            begin = time.monotonic()
            job = self.begin(name, tasks=tasks)
            self.cluster.await_state(job, "COMPLETED")
            self._straight[tasks] = self.folder / name
            self._note("undisturbed", tasks, job, name, begin, same=True)
        return self._straight[tasks]

    def assert_undisturbed_end(self, what: str, name: str | Path, job: str, begin: float, *, tasks: int = 1) -> None:
        """Waits for the end of a run; its numbers and weights must be those of the undisturbed one, bit for bit."""
        self.cluster.await_state(job, "COMPLETED")
        straight = self.straight(tasks)
        # exact: the same code with the same shapes, interrupted or not
        same = metrics_text(self.folder / name) == metrics_text(straight)
        self._note(what, tasks, job, name, begin, same=same)
        assert len(losses(straight)) == STEPS
        assert same
        assert_same_weights(weights(self.folder / name), weights(straight))

    def log(self, name: str | Path) -> str:
        """What the main process logged, in all attempts."""
        return (self.folder / name / "stdout.log").read_text()

    def resumed(self, name: str | Path) -> list[int]:
        """Steps from which the attempts of a run went on."""
        return [int(step) for step in RESUMED.findall(self.log(name))]

    def _note(self, what: str, tasks: int, job: str, name: str | Path, begin: float, *, same: bool) -> None:
        attempts = self.cluster.restarts(job)
        seconds = time.monotonic() - begin
        self._rows.append((what, f"2 x {tasks}", attempts, self.resumed(name), seconds, same))

    def table(self) -> str:
        """What the disturbances did, as Markdown."""
        lines = ["| disturbance | nodes x tasks | requeued | went on from step | s | losses |", "|---" * 6 + "|"]
        for what, shape, restarts, resumed, seconds, same in self._rows:
            steps = ", ".join(map(str, resumed)) or "-"
            lines.append(
                f"| {what} | {shape} | {restarts} | {steps} | {seconds:.0f} | {'equal' if same else 'DIFFERENT'} |"
            )
        return "\n".join(lines) + "\n"
