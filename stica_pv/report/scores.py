"""The evaluation on a page: scores beside random initialization, baselines and guessing, with their intervals."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup

from stica_pv.evaluation.baselines import COLORS, SPECTRUM
from stica_pv.evaluation.build_models import RANDOM
from stica_pv.evaluation.protocol import MEAN
from stica_pv.evaluation.results import COLUMNS, NO_ENCODER, ResultRow
from stica_pv.report.charts import INK, chart, grid, legend, series_color
from stica_pv.report.page import Cell, Section, join, missing, table
from stica_pv.report.runs import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What is asked of the test clips, by the beginning of a protocol's name; the first that fits counts.
QUESTIONS = {
    "single_frame still": "retrieval by one image alone, repeated: what a still image gives away",
    "single_frame": "the class from the pixels of one image, without an encoder",
    "retrieval": "test clips whose nearest training clip is of their class",
    "knn": "test clips of which the nearest training clips vote for the right class",
    "linear": "test clips whose class a linear classifier tells from the vector",
    "few_shot": "test clips whose class a linear classifier tells after few labeled clips",
    "svm": "test clips whose class a linear SVM tells from the vector",
    "audio_mlp": "labels of test audio tracks that a small network tells from the vector",
    "cross_modal": "test clips that find their own audio, or audio tracks that find their own clip",
    "finetune": "test clips whose class the whole network tells after training with labels",
}
NOT_TRAINED = {
    RANDOM: "same network untrained",
    COLORS: "4 × 4 colors alone",
    SPECTRUM: "mean spectrum alone",
    NO_ENCODER: "no encoder",
}
INTRO = (
    "Each score stands beside what needs no training: the same network with random weights (the best of six ways to "
    "look at it), a few colors of the mean image, and guessing. In brackets: the 95 % interval over the sources of "
    "the test clips. Scores are in % unless their name says else; scores of different protocols cannot be compared."
)

Key = tuple[str, str]  # protocol and data set: only what shares both can be compared


def is_trained(model: str) -> bool:
    """Whether a name of the results is that of a trained network."""
    return not any(model == name or model.startswith(f"{name} of ") for name in NOT_TRAINED)


def overall(run: Run) -> list[ResultRow]:
    """Returns the rows that stand for all folds."""
    means = {_number(row) for row in run.rows if row.fold == MEAN}
    return [row for row in run.rows if row.fold == MEAN or _number(row) not in means]


def _number(row: ResultRow) -> tuple[str, str, str]:
    return row.protocol, row.metric, row.model


def first_metrics(run: Run) -> list[ResultRow]:
    """Returns the rows of the first measure of each protocol, which is the one it is known by."""
    first: dict[str, str] = {}
    for row in overall(run):
        first.setdefault(row.protocol, row.metric)
    return [row for row in overall(run) if row.metric == first[row.protocol]]


def headline(runs: Sequence[Run]) -> Markup:
    """A line for each trained network and protocol, in words; empty without results."""
    rows: list[list[Cell]] = []
    for run in runs:
        first = first_metrics(run)
        for protocol in dict.fromkeys(row.protocol for row in first):
            found = [row for row in first if row.protocol == protocol]
            paired_with = [_best(found, RANDOM), _best(found, COLORS), _guess(run, found[0].metric)]
            own: list[Cell] = [run.name] if len(runs) > 1 else []
            trained = [row for row in found if is_trained(row.model)]
            rows += [[*own, question(row), row.metric, _score(row), *paired_with] for row in trained]
    if not rows:
        return Markup("")
    columns = ["share of …", "name", "trained", NOT_TRAINED[RANDOM], NOT_TRAINED[COLORS], "guessing"]
    words = "What came out, in %, with 95 % intervals"
    return table([*(["run"] if len(runs) > 1 else []), *columns], rows, caption=words)


def _best(rows: Sequence[ResultRow], kind: str) -> str:
    found = [row for row in rows if row.model == kind or row.model.startswith(f"{kind} of ")]
    return _score(max(found, key=lambda row: row.score)) if found else ""


def _score(row: ResultRow) -> str:
    return f"{row.score:.1f} ({row.interval})"


def _guess(run: Run, metric: str) -> str:
    """Chance is that of the class among the training items."""
    known = metric.rpartition("/")[2] in ("R@1", "top1") and "_to_" not in metric
    return f"{run.results['chance/top1']:.1f}" if known and "chance/top1" in run.results else ""


def question(row: ResultRow) -> str:
    """Returns in words what a row counts."""
    return next((words for start, words in QUESTIONS.items() if row.protocol.startswith(start)), row.protocol)


def scores_section(runs: Sequence[Run]) -> Section | None:
    """All scores of all runs, one table for each protocol and data set."""
    absent = [f"{run.name}: {_why_absent(run)}" for run in runs if not run.rows]
    notes = [missing(absent)] if absent else []
    flat = [_flat(run) for run in runs if run.results and not run.rows]
    if not any(run.rows for run in runs):
        return Section("Evaluation", join([*notes, *flat]))
    keys: dict[Key, None] = dict.fromkeys((row.protocol, row.dataset) for run in runs for row in overall(run))
    tables = [_table(key, runs) for key in keys]
    return Section("Evaluation", join([*notes, _forest(runs), *tables, *flat, _everything(runs)]), INTRO)


def _why_absent(run: Run) -> str:
    if run.results:
        return "results.md is missing; the numbers of results.json stand without their protocols below"
    return "not evaluated yet" if run.config.get("TEST.ENABLE") else "nothing was evaluated (TEST.ENABLE is False)"


def _series(runs: Sequence[Run], rows: Mapping[str, Sequence[ResultRow]]) -> list[tuple[str, str]]:
    """Pairs of run and model, in their order."""
    return list(dict.fromkeys((run.name, row.model) for run in runs for row in rows[run.name]))


def _label(runs: Sequence[Run], run: str, model: str) -> str:
    name = NOT_TRAINED.get(model, model)
    return f"{run}: {name}" if len(runs) > 1 else name


def _table(key: Key, runs: Sequence[Run]) -> Markup:
    rows = {run.name: [row for row in overall(run) if (row.protocol, row.dataset) == key] for run in runs}
    series = _series(runs, rows)
    cells = {(name, row.model, row.metric): _score(row) for name in rows for row in rows[name]}
    metrics = dict.fromkeys(row.metric for found in rows.values() for row in found)
    lines = [[metric, *(cells.get((*one, metric), "") for one in series)] for metric in metrics]
    any_row = next(row for found in rows.values() for row in found)
    told = f"{any_row.items} test items of {any_row.sources} sources, {any_row.views} views, data set {any_row.dataset}"
    return table(["score", *(_label(runs, *one) for one in series)], lines, caption=f"{key[0]}: {told}")


def _forest(runs: Sequence[Run]) -> Markup:
    """The first score of each protocol as points with intervals."""
    rows = {run.name: first_metrics(run) for run in runs}
    series = _series(runs, rows)
    places: dict[tuple[str, str], None] = dict.fromkeys(
        (row.protocol, row.metric) for found in rows.values() for row in found
    )
    names = [f"{protocol.partition(' (')[0].replace('_', ' ')}\n{metric}" for protocol, metric in places]
    heights = {place: len(places) - 1 - number for number, place in enumerate(places)}
    points = [
        (heights[row.protocol, row.metric], series.index((name, row.model)), row) for name in rows for row in rows[name]
    ]
    chances = [run.results["chance/top1"] for run in runs if "chance/top1" in run.results]
    draw = partial(_draw_forest, names, points, len(series), chances)
    height = 0.9 + len(names) * (0.25 + 0.11 * len(series))
    drawn = chart(
        draw, title="The first score of each protocol, with 95 % intervals", x="score (%)", y="", size=(4.6, height)
    )
    note = [Markup('<p class="note">The thin line is guessing.</p>')] if chances else []
    return join([legend([_label(runs, *one) for one in series], points=True), grid([drawn]), *note])


def _draw_forest(
    names: Sequence[str],
    points: Sequence[tuple[int, int, ResultRow]],
    series: int,
    chances: Sequence[float],
    axes: "Axes",
) -> None:
    for height, number, row in points:
        low, high = row.bounds
        y = height + 0.35 - 0.7 * (number + 0.5) / series
        axes.plot([low, high], [y, y], color=series_color(number), linewidth=1.5)
        axes.plot([row.score], [y], "o", color=series_color(number), markersize=4)
    for chance in set(chances):
        axes.axvline(chance, color=INK, linewidth=0.6)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", visible=False)


def _everything(runs: Sequence[Run]) -> Markup:
    lines = [[run.name, *vars(row).values()] for run in runs for row in run.rows]
    return table(["run", *COLUMNS], lines, folded="Every row of results.md, fold by fold")


def _flat(run: Run) -> Markup:
    return table(["score", "value"], list(run.results.items()), folded=f"The numbers of {run.name}: results.json")
