"""Dashboard of several runs: a table to sort and filter, with the keys in which they differ, and their curves."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from stica_pv.report.charts import series_style
from stica_pv.report.curves import LEGEND_RUNS, curve, summary_charts
from stica_pv.report.page import Section, fragment, grid, missing, show, table
from stica_pv.report.quantities import quantity
from stica_pv.report.runs import Run
from stica_pv.report.scores import dataset_of, main_scores, metric_title, scores_summary, title_of
from stica_pv.report.settings import differing_keys
from stica_pv.report.summary import duration_of, state_of

MOST_KEYS = 12  # columns of keys; the filter finds the values of all
REPORT = "report.html"

Cell = Mapping[str, Any]


def dashboard_section(runs: Sequence[Run], path: Path) -> Section:
    """Return the first section of a page about several runs.

    Args:
        runs: The runs.
        path: Output page, which links to the reports of the runs.
    """
    sentences = [f"{run.name}: {sentence}" for run in runs for sentence in run.missing]
    notes = [_notes(sentences, runs)] if sentences else []
    charts = [part for part in (scores_summary(runs), *summary_charts(runs)) if part]
    return Section("Runs", grid([*([grid(charts)] if charts else []), _table(runs, path), *notes], "stack"), quiet=True)


def _notes(sentences: Sequence[str], runs: Sequence[Run]) -> Markup:
    if len(runs) <= LEGEND_RUNS:
        return missing(sentences)
    return table(
        ["run and what is missing"], [[text] for text in sentences], folded=f"{len(sentences)} notes on the runs"
    )


def _table(runs: Sequence[Run], path: Path) -> Markup:
    keys = differing_keys([run.config for run in runs if run.config])
    columns: list[tuple[str, list[Cell]]] = [("State", [_text(_brief_state(run)) for run in runs])]
    columns += _score_columns(runs)
    columns += [(f"Last {quantity('loss').title.lower()}", [_number(_last_loss(run)) for run in runs])]
    columns += [(_head(key), [_text(str(run.config.get(key, ""))) for run in runs]) for key in keys[:MOST_KEYS]]
    columns += [("Training time", [_text(duration_of(run) or "") for run in runs])]
    columns = [(name, cells) for name, cells in columns if any(cell["text"] for cell in cells)]
    rows = [
        {
            "name": run.name,
            "color": series_style(number),
            "link": _link(run, path),
            "text": _searchable(run, keys),
            "cells": [cells[number] for _, cells in columns],
        }
        for number, run in enumerate(runs)
    ]
    heads = [("Run", False), *((name, any(cell["number"] for cell in cells)) for name, cells in columns)]
    return fragment("runs.html", columns=heads, rows=rows)


def _head(key: str) -> Markup:
    """Return a key that breaks after its section only."""
    section, dot, name = key.rpartition(".")
    return Markup("{}{}<wbr>{}").format(section, dot, name)


def _score_columns(runs: Sequence[Run]) -> list[tuple[str, list[Cell]]]:
    scores = [
        {(row.protocol, row.metric, dataset_of(row)): row.value for row in main_scores(run).values()} for run in runs
    ]
    keys = list(dict.fromkeys(key for one in scores for key in one))
    titles = [f"{title_of(protocol)}, {metric_title(metric)} (%)" for protocol, metric, _ in keys]
    found = []
    for number, key in enumerate(keys):
        title = titles[number] if titles.count(titles[number]) == 1 else f"{titles[number]}, {key[2]}"
        values = [one.get(key) for one in scores]
        best = max(value for value in values if value is not None)
        found.append((title, [_number(value, best=value == best, digits=1) for value in values]))
    return found


def _brief_state(run: Run) -> str:
    state = state_of(run)
    return "finished" if state.startswith("finished") else state.removeprefix("not finished: ")


def _last_loss(run: Run) -> float | None:
    points = curve(run, "loss")
    return points[-1][1] if points else None


def _number(value: float | None, *, best: bool = False, digits: int | None = None) -> Cell:
    text = "" if value is None else show(value) if digits is None else f"{value:.{digits}f}"
    return {"text": text, "value": "" if value is None else repr(value), "number": True, "best": best}


def _text(text: str) -> Cell:
    return {"text": text, "value": text, "number": False, "best": False}


def _searchable(run: Run, keys: Sequence[str]) -> str:
    """Return the text of a run that the filter searches."""
    return " ".join([run.name, state_of(run), *(f"{key}={run.config.get(key, '')}" for key in keys)]).lower()


def _link(run: Run, path: Path) -> str:
    """Return the relative address of the report of a run; empty if there is none."""
    page = run.folder / REPORT
    if not page.is_file() or page.resolve() == path.resolve():
        return ""
    return quote(os.path.relpath(page.resolve(), path.resolve().parent), errors="surrogateescape")
