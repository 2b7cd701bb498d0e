"""The page of an ablation: every run that was started, means, paired differences, and a plot."""

import itertools
from collections.abc import Sequence
from pathlib import Path

from stica_pv.commands.ablations.grid import Grid, Run
from stica_pv.commands.ablations.statistics import estimate, paired

STYLES = (":", "--", "-.")  # line styles of the untrained models in the plot
INTERVAL = ("low", "high", "n")  # suffixes of the trained score in results.json
Scores = dict[str, dict[str, dict[str, float]]]  # measure, cell, replicate


def collect(runs: Sequence[Run], measures: Sequence[str]) -> Scores:
    """Returns the scores of the finished runs by measure, cell and replicate."""
    found: Scores = {measure: {} for measure in measures}
    for run in runs:
        for name, value in (run.scores() or {}).items():
            if name in found:
                found[name].setdefault(run.cell, {})[run.name] = value
    return found


def reference_scores(runs: Sequence[Run], measure: str) -> dict[str, dict[str, float]]:
    """Returns the scores of the untrained models by name and replicate: the mean over a replicate's cells.

    Cells of a replicate share data and seeds, so their untrained scores are not independent.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for name, value in (run.scores() or {}).items():
            model = name.removeprefix(f"{measure}/")
            if model not in (name, *INTERVAL) and "/" not in model and not model.startswith("fold"):
                found.setdefault(model, {}).setdefault(run.name, []).append(value)
    return {
        name: {replicate: sum(each) / len(each) for replicate, each in scores.items()} for name, scores in found.items()
    }


def page(grid: Grid, choosing: Sequence[Run], measuring: Sequence[Run], chosen: dict[str, str] | None) -> str:
    """Returns the page in Markdown."""
    lines = [f"# {grid.file.parent.name}", "", *_counts(choosing, measuring), ""]
    if grid.choice is not None:
        lines += _choices(grid, choosing, chosen or {})
    scores = collect(measuring, grid.measures)
    for measure in grid.measures:
        lines += _cells(grid, measure, scores[measure], reference_scores(measuring, measure))
        lines += _contrasts(grid, scores[measure])
    return "\n".join(lines) + "\n"


def _counts(choosing: Sequence[Run], measuring: Sequence[Run]) -> list[str]:
    started = [run for run in (*choosing, *measuring) if run.started]
    unfinished = [f"{run.cell}/{run.name}" for run in measuring if run.started and run.scores() is None]
    return [
        f"{len(started)} runs were started: {sum(run in choosing for run in started)} to choose, "
        f"{sum(run in measuring for run in started)} to measure (of {len(measuring)}).",
        *([f"Not finished: {', '.join(unfinished)}."] if unfinished else []),
    ]


def _choices(grid: Grid, choosing: Sequence[Run], chosen: dict[str, str]) -> list[str]:
    choice = grid.choice
    assert choice is not None
    lines = [f"## {choice.key}, chosen by {choice.measure} of {' '.join(choice.overrides)}", ""]
    lines += head(["cell", *choice.values, "chosen"])
    for cell in grid.cells:
        found = [choice.score(run) for run in choosing if run.cell == cell]
        shown = ["–" if score is None else f"{score:.1f}" for score in found]
        lines.append(line([cell, *shown, chosen.get(cell, "–")]))
    return [*lines, ""]


def _cells(
    grid: Grid, measure: str, scores: dict[str, dict[str, float]], references: dict[str, dict[str, float]]
) -> list[str]:
    best: dict[str, float] = {}
    for untrained in references.values():
        best |= {replicate: max(score, best.get(replicate, score)) for replicate, score in untrained.items()}
    heads = ["", "mean and 95 % t-interval", "above the best untrained of each replicate", "replicates", "each"]
    lines = [f"## {measure}", "", *head(heads)]
    for cell in grid.cells if grid.contrasts else scores:
        lines.append(_row(cell, scores.get(cell, {}), best))
    lines += [_row(name, values) for name, values in references.items()]
    return [*lines, ""]


def _contrasts(grid: Grid, scores: dict[str, dict[str, float]]) -> list[str]:
    if not grid.contrasts:
        return []
    lines = head(["paired difference", "cells", "mean and 95 % t-interval", "pairs", "excludes zero"])
    for name, (above, below) in grid.contrasts.items():
        found = paired(scores.get(above, {}), scores.get(below, {}))
        cells = [found.text(), str(found.count), "yes" if found.excludes_zero else "no"] if found else ["–", "0", "–"]
        lines.append(line([name, f"{above} − {below}", *cells]))
    return [*lines, ""]


def _row(name: str, scores: dict[str, float], best: dict[str, float] | None = None) -> str:
    mean, gain = estimate(list(scores.values())) if scores else None, paired(scores, best or {})
    each = ", ".join(f"{value:.1f}" for value in scores.values())
    return line([name, mean.text() if mean else "–", gain.text() if gain else "–", str(len(scores)), each])


def head(names: Sequence[str]) -> list[str]:
    """Returns the head of a Markdown table."""
    return [line(names), line(["---"] * len(names))]


def line(cells: Sequence[str]) -> str:
    """Returns a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def plot(grid: Grid, measuring: Sequence[Run], path: Path) -> None:
    """Draws each run as a point and each cell's mean with its interval, a panel for each measure."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    scores = collect(measuring, grid.measures)
    references = {measure: reference_scores(measuring, measure) for measure in grid.measures}
    width = max(4.0, len(grid.cells))  # inches per panel, for the names of its cells
    figure, axes = plt.subplots(1, len(grid.measures), figsize=(width * len(grid.measures), 3.2), squeeze=False)
    for axis, measure in zip(axes[0], grid.measures, strict=True):
        for position, cell in enumerate(grid.cells):
            values = list(scores[measure].get(cell, {}).values())
            if not values:
                continue
            found = estimate(values)
            axis.plot([position] * len(values), values, "o", color="0.6", markersize=4)
            if found.count > 1:
                bars = [[found.mean - found.low], [found.high - found.mean]]
                axis.errorbar([position + 0.15], [found.mean], yerr=bars, fmt="s", color="black", capsize=3)
        for style, (name, untrained) in zip(itertools.cycle(STYLES), references[measure].items(), strict=False):
            axis.axhline(max(untrained.values()), linestyle=style, linewidth=1, color="0.4", label=f"{name} (best)")
        axis.set_xticks(range(len(grid.cells)), [name.replace("_", "\n") for name in grid.cells], fontsize=8)
        axis.set_xlim(-0.5, len(grid.cells) - 0.5)
        axis.set_ylabel(f"{measure}, %")
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    named = {
        one.get_label(): one for axis in axes[0] for one in axis.get_lines() if not one.get_label().startswith("_")
    }
    figure.legend(named.values(), named.keys(), loc="lower center", ncols=max(1, len(named)), fontsize=8, frameon=False)
    figure.savefig(path, dpi=110, format="png")
    plt.close(figure)
