"""Sections of training curves: the values of one run grouped by kind, or one value of several runs per chart."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from stica_pv.metrics import MONITORS
from stica_pv.report.charts import Line, legend, line_chart
from stica_pv.report.page import Section, grid, join, table
from stica_pv.report.quantities import (
    GROUPS,
    LOSSES,
    NO_QUANTITY,
    ONLINE,
    PARTS,
    SERIES_OF,
    SPEED,
    group_of,
    is_of,
    part_of,
    quantity,
)
from stica_pv.report.runs import Run

MOST_POINTS = 300  # of a curve; a chart has no more pixels
MOST_POINTS_OF_MANY = 60  # of a curve beside more than `LEGEND_RUNS` others
MOST_ROWS = 40  # of a table of numbers
LEGEND_RUNS = 8  # number of runs up to which charts have a legend and numbers; above, the table of runs names them

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """Content of one chart.

    Attributes:
        title: Title of the chart.
        unit: Label of its vertical axis.
        lines: Curves in full length.
    """

    title: str
    unit: str
    lines: Sequence[Line]


def training_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of loss terms, learning rate and other values that a method logs."""
    intro = (
        "A loss falls while the model learns to match positives and to separate negatives. A term that stays at "
        "its initial value has not started to learn."
    )
    other = (*MONITORS, *SPEED, *ONLINE, *NO_QUANTITY)
    section = _section("Training", intro, runs, lambda name: not is_of(name, other), first=LOSSES)
    return section and replace(section, html=join([section.html, _meanings(runs)]))


def _meanings(runs: Sequence[Run]) -> Markup:
    """Return a folded table of what each recorded number means, in the words of engine and method (run.json)."""
    recorded = _names(runs)
    known = {name: text for run in runs for name, text in run.info.get("metrics", {}).items() if name in recorded}
    rows = list(known.items())
    return table(["name", "meaning"], rows, folded="What the recorded numbers mean") if rows else Markup("")


def monitors_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of collapse monitors."""
    intro = (
        "A collapsed model gives the same embedding for every clip: spread and uniformity approach 0, and the "
        "effective rank 1 or less. RankMe and LiDAR are ranks of the features of held-out clips; LiDAR counts only the "
        "directions that distinguish videos, not the clips of one. The distance of a clip to its own audio should "
        "decrease during training."
    )
    return _section("Collapse monitors", intro, runs, lambda name: is_of(name, MONITORS))


def online_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of the accuracies that TEST.ONLINE_KNN_EPOCHS logs; the summary shows that of kNN."""
    intro = (
        "Held-out clips of the training list are classified by their nearest neighbors and by a linear probe, with the "
        "features of that epoch. Labels are not used in training."
    )
    return _section("Online evaluation", intro, runs, lambda name: is_of(name, ONLINE))


def speed_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of throughput, data wait and memory."""
    intro = (
        "While waiting for data the device is idle. Memory is the peak of the GPU if there is one, otherwise of the "
        "main process."
    )
    return _section("Speed and memory", intro, runs, lambda name: name in SPEED, first=SPEED)


def summary_names(runs: Sequence[Run]) -> list[str]:
    """Return the values that the summary shows: the loss, and online kNN or else an accuracy in the batch."""
    logged = _names(runs)
    accuracy = next((name for name in ("online_knn/top1", "accuracy_cross", "accuracy") if name in logged), "")
    return [name for name in ("loss", accuracy) if name in logged]


def summary_charts(runs: Sequence[Run]) -> list[Markup]:
    """Return the charts of the summary."""
    charts = []
    for panel in _panels(summary_names(runs), runs):
        chances = {run.results["chance/top1"] for run in runs if "chance/top1" in run.results}
        of_classes = panel.title == quantity("online_knn/top1").title and len(chances) == 1
        charts.append(_chart(panel, runs, ("chance", min(chances)) if of_classes else None))
    return charts


def _names(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for line in (*run.steps, *run.epochs) for name in line))


def _section(
    title: str, intro: str, runs: Sequence[Run], wanted: Callable[[str], bool], *, first: tuple[str, ...] = ()
) -> Section | None:
    """Return a section with the charts of all values that the summary does not show; None without values."""
    names = [name for name in _names(runs) if wanted(name) and name not in summary_names(runs)]
    rank = {start: position for position, start in enumerate(first)}
    names.sort(key=lambda name: next((rank[start] for start in first if name.startswith(start)), len(rank)))
    charts = [_chart(panel, runs) for panel in _panels(names, runs)]
    if not charts:
        return None
    several = 1 < len(runs) <= LEGEND_RUNS
    parts = [legend([(run.name, number) for number, run in enumerate(runs)])] if several else []
    return Section(title, join([*parts, grid(charts, "grid fill")]), intro)


def _panels(names: Sequence[str], runs: Sequence[Run]) -> list[Panel]:
    """Return the charts of values; equal curves are drawn once, under both names."""
    if len(runs) > 1:
        return _merged([_panel_of_runs(name, runs) for name in names])
    grouped: dict[tuple[str, str, float], list[str]] = {}
    for name in names:
        shown = quantity(name)
        grouped.setdefault((group_of(name) or name, shown.unit, shown.scale), []).append(name)
    found = [
        Panel(GROUPS[start], unit, _without_copies([_line_of_part(runs[0], name) for name in members]))
        if len(members) > 1
        else Panel(quantity(members[0]).title, unit, [Line("", curve(runs[0], members[0]))])
        for (start, unit, _), members in grouped.items()
    ]
    return _merged([panel for panel in found if any(line.points for line in panel.lines)])


def _panel_of_runs(name: str, runs: Sequence[Run]) -> Panel:
    lines = [Line(run.name, curve(run, name), number, run=number) for number, run in enumerate(runs)]
    return Panel(quantity(name).title, quantity(name).unit, lines)


def _line_of_part(run: Run, name: str) -> Line:
    part = part_of(name)
    return Line(PARTS.get(part, part.replace("_", " ")), curve(run, name), SERIES_OF.get(part, 7))


def _without_copies(lines: Sequence[Line]) -> list[Line]:
    """Join the names of equal curves, for example of a loss that has a single term."""
    found: list[Line] = []
    for line in lines:
        for number, other in enumerate(found):
            if line.points == other.points:
                found[number] = replace(other, name=f"{other.name} = {line.name}")
                break
        else:
            found.append(replace(line, dash=len(found)))
    return found


def _merged(panels: Sequence[Panel]) -> list[Panel]:
    """Join the titles of charts with equal curves."""
    found: list[Panel] = []
    for panel in panels:
        if not any(line.points for line in panel.lines):
            continue
        for number, other in enumerate(found):
            if [line.points for line in panel.lines] == [line.points for line in other.lines]:
                found[number] = replace(other, title=f"{other.title} = {panel.title}")
                break
        else:
            found.append(panel)
    return found


def curve(run: Run, name: str) -> Curve:
    """Return (epoch, value) of each line with the value; the step where a line has no epoch."""
    found = []
    for line in (*run.steps, *run.epochs):
        value = line.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            found.append((float(line.get("epoch", line.get("epoch_end", line["step"]))), value * quantity(name).scale))
    return found


def thinned(curve: Sequence[tuple[float, float]], most: int) -> Curve:
    """Return means over equal blocks of neighboring points, at most `most` of them."""
    size = math.ceil(len(curve) / most) if curve else 1
    blocks = [curve[begin : begin + size] for begin in range(0, len(curve), size)]
    return [(block[-1][0], sum(value for _, value in block) / len(block)) for block in blocks]


def _chart(panel: Panel, runs: Sequence[Run], reference: tuple[str, float] | None = None) -> Markup:
    by_epoch = all("epoch" in line or "epoch_end" in line for run in runs for line in (*run.steps, *run.epochs))
    axis, many = "epoch" if by_epoch else "step", len(runs) > LEGEND_RUNS
    drawn = [
        replace(line, points=thinned(line.points, MOST_POINTS_OF_MANY if many else MOST_POINTS)) for line in panel.lines
    ]
    numbers = Markup("") if many else _numbers(axis, panel)
    return line_chart(
        drawn,
        title=panel.title,
        x=axis,
        y=panel.unit,
        numbers=numbers,
        reference=reference,
        with_legend=len(runs) == 1,
    )


def _numbers(axis: str, panel: Panel) -> Markup:
    heads = [line.name or panel.unit for line in panel.lines]
    columns = [dict(thinned(line.points, MOST_ROWS)) for line in panel.lines]
    rows = [[x, *(column.get(x) for column in columns)] for x in sorted({x for column in columns for x in column})]
    averaged = any(len(line.points) > MOST_ROWS for line in panel.lines)
    label = "Numbers (means over neighboring points)" if averaged else "Numbers"
    return table([axis, *heads], rows, folded=label)
