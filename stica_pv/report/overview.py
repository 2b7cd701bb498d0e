"""Overview section: results, progress of the runs, and missing files."""

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from stica_pv.report.page import Cell, Section, join, missing, show, table
from stica_pv.report.quantities import quantity
from stica_pv.report.runs import Run
from stica_pv.report.scores import headline


def overview_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of state, speed and results of each run."""
    rows: dict[str, list[Cell]] = {
        "state": [_state(run) for run in runs],
        "time in training steps": [_duration(run) for run in runs],
        "clips per second": [_mean(run, "samples_per_second") for run in runs],
        "data wait (% of the time)": [_mean(run, "data_share") for run in runs],
        "peak memory (GiB)": [_last(run, "memory_mb") for run in runs],
        "last loss": [_last(run, "loss") for run in runs],
    }
    lines: list[list[Cell]] = [
        [name, *map(show, cells)] for name, cells in rows.items() if any(cell is not None for cell in cells)
    ]
    prefix = len(runs) > 1
    absent = [f"{run.name}: {sentence}" if prefix else sentence for run in runs for sentence in run.missing]
    notes = [missing(absent)] if absent else []
    title = "Overview"
    return Section(
        title, join([*notes, headline(runs), table(["", *(run.name for run in runs)], lines, caption="Training")])
    )


def _state(run: Run) -> str:
    if not run.trains:
        return "evaluation only" if run.results else "not finished"
    wanted = run.info.get("steps")
    if wanted is None:
        return f"{run.last_step} steps logged"
    done = "finished" if run.last_step >= wanted else "not finished"
    return f"{done}: step {run.last_step} of {wanted}"


def _spans(run: Run) -> list[tuple[Mapping[str, Any], int]]:
    """Return each logged line with the number of steps that it covers."""
    before, found = 0, []
    for line in run.steps:
        found.append((line, line["step"] - before))
        before = line["step"]
    return found


def _duration(run: Run) -> str | None:
    seconds = sum(line.get("step_time", 0.0) * steps for line, steps in _spans(run))
    return str(datetime.timedelta(seconds=round(seconds))) if seconds else None


def _mean(run: Run, name: str) -> float | None:
    """Return the mean over time."""
    parts = [
        (line[name], line["step_time"] * steps) for line, steps in _spans(run) if name in line and "step_time" in line
    ]
    seconds = sum(span for _, span in parts)
    return sum(value * span for value, span in parts) / seconds * quantity(name).scale if seconds else None


def _last(run: Run, name: str) -> float | None:
    found = [line[name] for line in run.steps if isinstance(line.get(name), int | float)]
    return found[-1] * quantity(name).scale if found else None
