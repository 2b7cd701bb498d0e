"""Sections of training curves, with all runs in the same charts."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from stica_pv.metrics import MONITORS
from stica_pv.report.charts import chart, grid, legend, series_color, series_dash
from stica_pv.report.page import Section, join, missing, table
from stica_pv.report.quantities import KNN, LOSSES, NO_QUANTITY, SPEED, is_of, quantity
from stica_pv.report.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 400  # of a curve; a chart has no more pixels
MOST_ROWS = 40  # of a table of numbers
DOTS_UP_TO = 30  # number of points up to which markers are drawn

Curve = list[tuple[float, float]]


def training_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of losses, learning rate and other values that a method logs."""
    intro = (
        "A loss falls while the model learns to match positives and to separate negatives. A term that stays at "
        "its initial value has not started to learn."
    )
    other = (*MONITORS, *SPEED, *KNN, *NO_QUANTITY)
    section = _section(
        "Training",
        intro,
        runs,
        lambda name: not is_of(name, other),
        first=LOSSES,
        absent="No loss was logged.",
    )
    meanings = _meanings(runs)
    return section and replace(section, html=join([section.html, meanings]))


def _meanings(runs: Sequence[Run]) -> Markup:
    """Return a folded table of what each recorded number means, in the words of engine and method (run.json)."""
    recorded = {name for run in runs for line in (*run.steps, *run.epochs) for name in line}
    known = {name: text for run in runs for name, text in run.info.get("metrics", {}).items() if name in recorded}
    return (
        table(["name", "meaning"], list(known.items()), folded="What the recorded numbers mean")
        if known
        else Markup("")
    )


def monitors_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of collapse monitors."""
    intro = (
        "A collapsed model gives the same embedding for every clip: spread and uniformity approach 0, and the "
        "effective rank 1 or less. The distance of a clip to its own audio should decrease during training."
    )
    return _section(
        "Collapse monitors", intro, runs, lambda name: is_of(name, MONITORS), absent="No monitor was logged."
    )


def knn_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of TEST.ONLINE_KNN_EPOCHS."""
    intro = (
        "Held-out clips of the training list are classified by their nearest neighbors, with the features of that "
        "epoch. Labels are not used in training."
    )
    absent = "Disabled; TEST.ONLINE_KNN_EPOCHS 5 enables it every five epochs."
    return _section("Online kNN", intro, runs, lambda name: is_of(name, KNN), absent=absent)


def speed_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of throughput, data wait and memory."""
    intro = (
        "While waiting for data the device is idle. Memory is the peak of the GPU if there is one, otherwise of the "
        "main process."
    )
    return _section(
        "Speed and memory", intro, runs, lambda name: name in SPEED, first=SPEED, absent="No timing was logged."
    )


def _section(
    title: str,
    intro: str,
    runs: Sequence[Run],
    wanted: Callable[[str], bool],
    *,
    absent: str,
    first: tuple[str, ...] = (),
) -> Section | None:
    """Return a section with one chart per value of any run; None if no run trains."""
    if not any(run.trains for run in runs):
        return None
    names = dict.fromkeys(name for run in runs for line in (*run.steps, *run.epochs) for name in line if wanted(name))
    rank = {start: position for position, start in enumerate(first)}
    ordered = sorted(
        names, key=lambda name: next((rank[start] for start in first if name.startswith(start)), len(rank))
    )
    drawn = [(name, [curve(run, name) for run in runs]) for name in ordered]
    charts = [_chart(name, curves, runs) for name, curves in drawn if any(curves)]
    if not charts:
        return Section(title, missing([absent]))
    parts = [legend([run.name for run in runs])] if len(runs) > 1 else []
    return Section(title, join([*parts, grid(charts)]), intro)


def curve(run: Run, name: str) -> Curve:
    """Return (epoch, value) of each line with the value; the step where a line has no epoch."""
    found = []
    for line in (*run.steps, *run.epochs):
        value = line.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            found.append((float(line.get("epoch", line.get("epoch_end", line["step"]))), value * quantity(name).scale))
    return found


def thinned(curve: Curve, most: int) -> Curve:
    """Return means over equal blocks of neighboring points, at most `most` of them."""
    size = math.ceil(len(curve) / most) if curve else 1
    blocks = [curve[begin : begin + size] for begin in range(0, len(curve), size)]
    return [(block[-1][0], sum(value for _, value in block) / len(block)) for block in blocks]


def _chart(name: str, curves: Sequence[Curve], runs: Sequence[Run]) -> Markup:
    shown = quantity(name)
    by_epoch = all("epoch" in line or "epoch_end" in line for run in runs for line in (*run.steps, *run.epochs))
    axis = "epoch" if by_epoch else "step"
    heads = [run.name for run in runs] if len(runs) > 1 else [shown.unit]
    draw = partial(_draw, [thinned(one, MOST_POINTS) for one in curves])
    return chart(draw, title=shown.title, x=axis, y=shown.unit, numbers=_numbers(axis, heads, curves))


def _draw(curves: Sequence[Curve], axes: "Axes") -> None:
    for number, points in enumerate(curves):
        dots: dict[str, Any] = {"marker": "o", "markersize": 2.5} if len(points) <= DOTS_UP_TO else {}
        xs, ys = [x for x, _ in points], [y for _, y in points]
        axes.plot(xs, ys, color=series_color(number), linestyle=series_dash(number), linewidth=1.4, **dots)


def _numbers(axis: str, heads: Sequence[str], curves: Sequence[Curve]) -> Markup:
    few = [thinned(one, MOST_ROWS) for one in curves]
    of_run: list[Mapping[float, float]] = [dict(one) for one in few]
    rows = [[x, *(one.get(x) for one in of_run)] for x in sorted({x for one in few for x, _ in one})]
    averaged = any(len(one) > MOST_ROWS for one in curves)
    label = "Numbers (means over neighboring points)" if averaged else "Numbers"
    return table([axis, *heads], rows, folded=label)
