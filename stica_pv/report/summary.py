"""Summary of one run in one screen: state, main scores, loss and online kNN, and clips with their neighbors."""

import datetime
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from stica_pv.report.curves import summary_charts, summary_names
from stica_pv.report.page import Section, fragment, grid, missing, show
from stica_pv.report.quantities import quantity
from stica_pv.report.runs import Run
from stica_pv.report.scores import scores_summary

KNN_HINT = "Online kNN is disabled; TEST.ONLINE_KNN_EPOCHS 5 enables it every five epochs."
CLIPS_HINT = "stica-pv report OUTPUT_DIR --gallery adds test clips with their nearest neighbors."


def summary_section(run: Run, highlights: Markup) -> Section:
    """Return the first section of the report of a run.

    Args:
        run: The run.
        highlights: Test clips with their neighbors; empty without them.
    """
    notes = [missing(run.missing)] if run.missing else []
    cards = [part for part in (scores_summary([run]), *summary_charts([run])) if part]
    hints = [KNN_HINT] if run.steps and "online_knn/top1" not in summary_names([run]) else []
    hints += [CLIPS_HINT] if run.rows and not highlights else []
    below = [fragment("note.html", text=" ".join(hints))] if hints else []
    return Section(
        "Summary", grid([*notes, *([grid(cards)] if cards else []), highlights, *below], "stack"), quiet=True
    )


def facts_of(run: Run) -> list[tuple[str, str]]:
    """Return names and values of the state and speed of a run."""
    found = [("State", state_of(run))]
    values = {
        "Training time": duration_of(run),
        "Clips per second": _mean(run, "samples_per_second"),
        "Data wait": _mean(run, "data_share"),
        "Peak memory": _last(run, "memory_mb"),
        "Parameters": run.info["parameters"] / 1e6 if "parameters" in run.info else None,
    }
    units = {"Data wait": " %", "Peak memory": " GiB", "Parameters": " M"}
    for name, value in values.items():
        if value is not None:
            text = value if isinstance(value, str) else show(round(value, 1 if value < 1000 else 0))
            found.append((name, f"{text}{units.get(name, '')}"))
    return found


def state_of(run: Run) -> str:
    """Return how far a run got."""
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


def duration_of(run: Run) -> str | None:
    """Return the time in training steps as ``h:mm:ss``; None if it is unknown."""
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
