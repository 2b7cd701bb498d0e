"""Evaluation section: scores of trained models, random initialization, baselines and chance, with intervals."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from stica_pv.evaluation.baselines import COLORS, SPECTRUM
from stica_pv.evaluation.build_models import RANDOM
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.results import COLUMNS, NO_ENCODER, cells_of, overall
from stica_pv.report.charts import INK, chart, grid, legend, series_color
from stica_pv.report.page import Cell, Section, join, missing, table
from stica_pv.report.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What a score counts, by the beginning of the protocol name; the first match counts.
DESCRIPTIONS = {
    "single_frame still": "retrieval by a single repeated frame, without motion",
    "single_frame": "class from the pixels of one frame, without an encoder",
    "retrieval": "test clips whose nearest training clip has the same class",
    "knn": "test clips classified by their nearest training clips",
    "linear": "test clips classified by a linear classifier on the features",
    "few_shot": "test clips classified by a linear classifier with few labels",
    "svm": "test clips classified by a linear SVM on the features",
    "audio_mlp": "labels of test audio predicted by an MLP on the features",
    "cross_modal": "test clips that retrieve their own audio, or audio that retrieves its own clip",
    "finetune": "test clips classified by the network fine-tuned with labels",
}
NOT_TRAINED = {
    RANDOM: "random initialization",
    COLORS: "4 × 4 colors",
    SPECTRUM: "mean spectrum",
    NO_ENCODER: "no encoder",
}
INTRO = (
    "Each score is compared with references that need no training: the same network with random weights (best of six "
    "feature normalizations), a few colors of the mean frame, and chance. In brackets: the 95 % interval over the "
    "sources of the test clips. Scores are in % unless named otherwise; different protocols are not comparable."
)

Key = tuple[str, str]  # protocol and data set; only scores that share both are comparable


def is_trained(model: str) -> bool:
    """Return whether a name in the results is that of a trained network."""
    return not any(model == name or model.startswith(f"{name} of ") for name in NOT_TRAINED)


def first_metrics(run: Run) -> list[Row]:
    """Return the rows of the first metric of each protocol, its primary one."""
    first: dict[str, str] = {}
    for row in overall(run.rows):
        first.setdefault(row.protocol, row.metric)
    return [row for row in overall(run.rows) if row.metric == first[row.protocol]]


def headline(runs: Sequence[Run]) -> Markup:
    """Return a table with one line per trained network and protocol; empty without results."""
    rows: list[list[Cell]] = []
    for run in runs:
        first = first_metrics(run)
        for protocol in dict.fromkeys(row.protocol for row in first):
            found = [row for row in first if row.protocol == protocol]
            paired_with = [_best(found, RANDOM), _best(found, COLORS), _chance(run, found[0].metric)]
            own: list[Cell] = [run.name] if len(runs) > 1 else []
            trained = [row for row in found if is_trained(row.model)]
            rows += [[*own, describe(row), row.metric, _score(row), *paired_with] for row in trained]
    if not rows:
        return Markup("")
    columns = ["share of …", "metric", "trained", NOT_TRAINED[RANDOM], NOT_TRAINED[COLORS], "chance"]
    caption = "Results in %, with 95 % intervals"
    return table([*(["run"] if len(runs) > 1 else []), *columns], rows, caption=caption)


def _best(rows: Sequence[Row], kind: str) -> str:
    found = [row for row in rows if row.model == kind or row.model.startswith(f"{kind} of ")]
    return _score(max(found, key=lambda row: row.value)) if found else ""


def _score(row: Row) -> str:
    return f"{row.value:.1f} ({row.interval})"


def _chance(run: Run, metric: str) -> str:
    """Return the chance level of metrics that have one: that of the class among the training items."""
    known = metric.rpartition("/")[2] in ("R@1", "top1") and "_to_" not in metric
    return f"{run.results['chance/top1']:.1f}" if known and "chance/top1" in run.results else ""


def describe(row: Row) -> str:
    """Return a description of what a row counts."""
    return next((text for start, text in DESCRIPTIONS.items() if row.protocol.startswith(start)), row.protocol)


def scores_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of all scores of all runs, one table per protocol and data set."""
    absent = [f"{run.name}: {_why_absent(run)}" for run in runs if not run.rows]
    notes = [missing(absent)] if absent else []
    flat = [_flat(run) for run in runs if run.results and not run.rows]
    if not any(run.rows for run in runs):
        return Section("Evaluation", join([*notes, *flat]))
    keys: dict[Key, None] = dict.fromkeys((row.protocol, row.dataset_hash) for run in runs for row in overall(run.rows))
    tables = [_table(key, runs) for key in keys]
    return Section("Evaluation", join([*notes, _forest(runs), *tables, *flat, _everything(runs)]), INTRO)


def _why_absent(run: Run) -> str:
    if run.results:
        return "an earlier version wrote results.json, without protocols and intervals; its numbers are below"
    return "not evaluated yet" if run.config.get("TEST.ENABLE") else "nothing was evaluated (TEST.ENABLE is False)"


def _series(runs: Sequence[Run], rows: Mapping[str, Sequence[Row]]) -> list[tuple[str, str]]:
    """Return pairs of run and model, in order."""
    return list(dict.fromkeys((run.name, row.model) for run in runs for row in rows[run.name]))


def _label(runs: Sequence[Run], run: str, model: str) -> str:
    name = NOT_TRAINED.get(model, model)
    return f"{run}: {name}" if len(runs) > 1 else name


def _table(key: Key, runs: Sequence[Run]) -> Markup:
    rows = {run.name: [row for row in overall(run.rows) if (row.protocol, row.dataset_hash) == key] for run in runs}
    series = _series(runs, rows)
    cells = {(name, row.model, row.metric): _score(row) for name in rows for row in rows[name]}
    metrics = dict.fromkeys(row.metric for found in rows.values() for row in found)
    lines = [[metric, *(cells.get((*one, metric), "") for one in series)] for metric in metrics]
    any_row = next(row for found in rows.values() for row in found)
    counts = f"{any_row.n} test items of {any_row.groups} sources, {any_row.views} views"
    summary = f"{counts}, data set {any_row.dataset} ({any_row.dataset_hash})"
    return table(["score", *(_label(runs, *one) for one in series)], lines, caption=f"{key[0]}: {summary}")


def _forest(runs: Sequence[Run]) -> Markup:
    """Return a chart of the first score of each protocol, with intervals."""
    rows = {run.name: first_metrics(run) for run in runs}
    series = _series(runs, rows)
    lines: dict[tuple[str, str], None] = dict.fromkeys(
        (row.protocol, row.metric) for found in rows.values() for row in found
    )
    names = [f"{protocol.partition(' (')[0].replace('_', ' ')}\n{metric}" for protocol, metric in lines]
    heights = {line: len(lines) - 1 - number for number, line in enumerate(lines)}
    points = [
        (heights[row.protocol, row.metric], series.index((name, row.model)), row) for name in rows for row in rows[name]
    ]
    chances = [run.results["chance/top1"] for run in runs if "chance/top1" in run.results]
    draw = partial(_draw_forest, names, points, len(series), chances)
    height = 0.9 + len(names) * (0.25 + 0.11 * len(series))
    drawn = chart(
        draw, title="The first score of each protocol, with 95 % intervals", x="score (%)", y="", size=(4.6, height)
    )
    note = [Markup('<p class="note">The thin line marks chance.</p>')] if chances else []
    return join([legend([_label(runs, *one) for one in series], points=True), grid([drawn]), *note])


def _draw_forest(
    names: Sequence[str],
    points: Sequence[tuple[int, int, Row]],
    series: int,
    chances: Sequence[float],
    axes: "Axes",
) -> None:
    for height, number, row in points:
        y = height + 0.35 - 0.7 * (number + 0.5) / series
        axes.plot([row.low, row.high], [y, y], color=series_color(number), linewidth=1.5)
        axes.plot([row.value], [y], "o", color=series_color(number), markersize=4)
    for chance in set(chances):
        axes.axvline(chance, color=INK, linewidth=0.6)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", visible=False)


def _everything(runs: Sequence[Run]) -> Markup:
    lines = [[run.name, *cells_of(row)] for run in runs for row in run.rows]
    return table(["run", *COLUMNS], lines, folded="All rows of the results, by fold")


def _flat(run: Run) -> Markup:
    return table(["score", "value"], list(run.results.items()), folded=f"Numbers of {run.name}: results.json")
