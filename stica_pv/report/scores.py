"""Scores of trained networks beside random initialization, baselines and chance: in the summary and in full."""

from collections.abc import Sequence

from markupsafe import Markup

from stica_pv.evaluation.baselines import COLORS, MOTION, SPECTRUM
from stica_pv.evaluation.build_models import RANDOM
from stica_pv.evaluation.protocol import Row
from stica_pv.evaluation.results import COLUMNS, NO_ENCODER, cells_of, overall
from stica_pv.report.charts import NEUTRAL, NEUTRAL_SOFT, Bar, BarGroup, bar_chart, series_style
from stica_pv.report.page import Section, grid, join, missing, table
from stica_pv.report.runs import Run

# Title of a protocol and what its score counts, by the beginning of its name; the first match counts.
PROTOCOLS = {
    "single_frame still": ("Retrieval by a still frame", "a single repeated frame as query, without motion"),
    "single_frame": ("Single frame, no encoder", "class from the pixels of one frame"),
    "retrieval": ("Retrieval", "nearest training clip has the same class"),
    "knn": ("kNN", "class by the nearest training clips"),
    "linear": ("Linear evaluation", "class by a linear classifier on the features"),
    "few_shot": ("Few-shot", "class by a linear classifier with few labels"),
    "svm": ("Linear SVM", "class by a linear SVM on the features"),
    "audio_mlp": ("Audio MLP", "labels of audio by an MLP on the features"),
    "cross_modal": ("Cross-modal retrieval", "a clip retrieves its own audio, or audio its clip"),
    "synchrony": ("Synchrony", "a moment of a clip retrieves its own audio among other moments"),
    "finetune": ("Fine-tuning", "class by the network fine-tuned with labels"),
}
NOT_TRAINED = {
    RANDOM: "random initialization",
    COLORS: "4 × 4 colors",
    SPECTRUM: "mean spectrum",
    MOTION: "motion and loudness",
    NO_ENCODER: "no encoder",
}
INTRO = (
    "Each score is compared with references that need no training: the same network with random weights (best of six "
    "feature normalizations), a few colors of the mean frame, and chance. A thin line over a bar is the 95 % interval "
    "over the sources of the test clips. Scores are in % unless named otherwise. "
    "Different protocols are not comparable."
)
SUMMARY_PROTOCOLS, SUMMARY_RUNS, CARD_METRICS = 3, 8, 2

CHANCE = "chance"  # in the name of a metric that is the chance level of another one

Key = tuple[str, str]  # protocol and data set; only scores that share both are comparable


def is_trained(model: str) -> bool:
    """Return whether a name in the results is that of a trained network."""
    return not any(model == name or model.startswith(f"{name} of ") for name in NOT_TRAINED)


def dataset_of(row: Row) -> str:
    """Return name and hash of the data set of a row."""
    return f"{row.dataset} ({row.dataset_hash})"


def main_scores(run: Run) -> dict[str, Row]:
    """Return the best trained row of the first metric of each protocol, its primary one, by protocol."""
    first: dict[str, str] = {}
    for row in overall(run.rows):
        first.setdefault(row.protocol, row.metric)
    found: dict[str, Row] = {}
    for row in overall(run.rows):
        if row.metric == first[row.protocol] and is_trained(row.model):
            best = found.get(row.protocol)
            found[row.protocol] = row if best is None or row.value > best.value else best
    return found


def title_of(protocol: str) -> str:
    """Return the short title of a protocol."""
    return _entry(protocol)[0]


def metric_title(metric: str) -> str:
    """Return a metric in words: ``video_to_audio/R@1`` is ``video to audio R@1``."""
    return metric.replace("_", " ").replace("/", " ")


def _entry(protocol: str) -> tuple[str, str]:
    return next((entry for start, entry in PROTOCOLS.items() if protocol.startswith(start)), (protocol, ""))


def scores_summary(runs: Sequence[Run]) -> Markup:
    """Return the card of the main scores; empty without scores."""
    keys = list(dict.fromkeys((row.protocol, dataset_of(row)) for run in runs for row in main_scores(run).values()))
    if not keys:
        return Markup("")
    best = _best_runs(runs, keys[0])
    groups = []
    for key in keys[: max(1, SUMMARY_PROTOCOLS - len(best) // 2)]:
        metric = next(
            row.metric for _, run in best for row in overall(run.rows) if (row.protocol, dataset_of(row)) == key
        )
        groups.append(_group(key, metric, best, f"{title_of(key[0])}, {metric_title(metric)}", _entry(key[0])[1]))
    title = "Main scores" if len(best) == len(runs) else f"Main scores, best {len(best)} of {len(runs)} runs"
    return bar_chart(groups, title=title, unit="%", chance=_chance_note(groups), top=100.0)


def _best_runs(runs: Sequence[Run], key: Key) -> list[tuple[int, Run]]:
    """Return the runs to show with their numbers: all, or those with the best first score, the best first."""
    numbered = list(enumerate(runs))
    if len(runs) <= SUMMARY_RUNS:
        return numbered
    scores = [main_scores(run).get(key[0]) for run in runs]
    rated = [one for one in numbered if (row := scores[one[0]]) is not None and dataset_of(row) == key[1]]
    return sorted(rated, key=lambda one: -_value(scores[one[0]]))[:SUMMARY_RUNS]


def _value(row: Row | None) -> float:
    return 0.0 if row is None else row.value


def scores_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of all scores: a card with a folded table per protocol and data set; None without scores."""
    early = [
        f"{run.name}: an earlier version wrote results.json, without protocols and intervals; its numbers are below"
        for run in runs
        if run.results and not run.rows
    ]
    notes = [missing(early)] if early else []
    flat = [_flat(run) for run in runs if run.results and not run.rows]
    keys: dict[Key, None] = dict.fromkeys((row.protocol, dataset_of(row)) for run in runs for row in overall(run.rows))
    if not keys:
        return Section("Evaluation", join([*notes, *flat])) if flat else None
    cards = grid([_card(key, runs) for key in keys], "grid fill" if len(keys) > 3 else "grid")
    return Section("Evaluation", join([*notes, cards, *flat, _everything(runs)]), INTRO)


def _card(key: Key, runs: Sequence[Run]) -> Markup:
    rows = [(run, row) for run in runs for row in overall(run.rows) if (row.protocol, dataset_of(row)) == key]
    metrics = list(dict.fromkeys(row.metric for _, row in rows))
    drawn = [metric for metric in metrics if CHANCE not in metric][:CARD_METRICS]
    groups = [_group(key, metric, list(enumerate(runs)), metric_title(metric), "") for metric in drawn]
    row = rows[0][1]
    exact = f"{key[0]}. {row.n} test items of {row.groups} sources, {row.views} views, data set {dataset_of(row)}."
    return bar_chart(
        groups,
        title=title_of(key[0]),
        unit="%",
        note=_entry(key[0])[1],
        chance=_chance_note(groups),
        top=100.0,
        numbers=_table(rows, metrics, exact, several=len(runs) > 1),
    )


def _group(key: Key, metric: str, runs: Sequence[tuple[int, Run]], title: str, note: str) -> BarGroup:
    """Return the bars of one metric of numbered runs: trained networks first, then what needs no training."""
    trained: list[Bar] = []
    others: dict[str, Bar] = {}
    several = len(runs) > 1
    for number, run in runs:
        for row in overall(run.rows):
            if (row.protocol, dataset_of(row), row.metric) != (*key, metric):
                continue
            if is_trained(row.model):
                color = series_style(number if several else len(trained))
                trained.append(_bar(row, _label(run, row, several=several), color, first=True))
            else:
                shade = NEUTRAL if row.model.startswith(RANDOM) else NEUTRAL_SOFT
                bar = _bar(row, _label(run, row, several=False), shade, first=False)
                best = others.get(row.model)
                others[row.model] = bar if best is None or bar.value > best.value else best
    ordered = sorted(others.items(), key=lambda item: not item[0].startswith(RANDOM))
    chances = [chance for _, run in runs if (chance := _chance(run, key, metric)) is not None]
    return BarGroup(title, [*trained, *(bar for _, bar in ordered)], note, chances[0] if chances else None)


def _bar(row: Row, name: str, color: str, *, first: bool) -> Bar:
    return Bar(name, row.value, color, row.low, row.high, first)


def _label(run: Run, row: Row, *, several: bool) -> str:
    name = next((text for start, text in NOT_TRAINED.items() if row.model == start), row.model)
    return (run.name if row.model == "trained" else f"{run.name}: {name}") if several else name


def _chance(run: Run, key: Key, metric: str) -> float | None:
    """Return the chance level of a metric, if it has one: a metric of its own, or that of the classes."""
    direction, _, name = metric.rpartition("/")
    own = {row.metric: row.value for row in overall(run.rows) if (row.protocol, dataset_of(row)) == key}
    of_classes = name in ("R@1", "top1") and "_to_" not in direction and metric in own
    return run.results.get("chance/top1") if of_classes else own.get(f"{direction}/{CHANCE} {name}")


def _chance_note(groups: Sequence[BarGroup]) -> list[str]:
    levels = sorted({group.chance for group in groups if group.chance is not None})
    return [f"chance, {', '.join(f'{level:.1f}' for level in levels)} %"] if levels else []


def _table(rows: Sequence[tuple[Run, Row]], metrics: Sequence[str], exact: str, *, several: bool) -> Markup:
    """Return the folded table of one protocol, metrics by models, below its exact description."""
    cells = {(_label(run, row, several=several), row.metric): f"{row.value:.1f} ({row.interval})" for run, row in rows}
    models = list(dict.fromkeys(model for model, _ in cells))
    lines = [[metric, *(cells.get((model, metric), "") for model in models)] for metric in metrics]
    label = f"All {len(metrics)} scores and the exact protocol"
    return table(["score", *models], lines, caption=exact, folded=label)


def _everything(runs: Sequence[Run]) -> Markup:
    lines = [[run.name, *cells_of(row)] for run in runs for row in run.rows]
    return table(["run", *COLUMNS], lines, folded="All rows of the results, by fold")


def _flat(run: Run) -> Markup:
    return table(["score", "value"], list(run.results.items()), folded=f"Numbers of {run.name}: results.json")
