"""Output of results: results.json, results.md, and the table in the log."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stica_pv.errors import UsageError
from stica_pv.evaluation.protocol import MEAN, NO_MODEL, Row

JSON, MARKDOWN = "results.json", "results.md"
COLUMNS = (
    *("protocol", "metric", "model", "features", "fold", "score", "95 % interval"),
    *("test items", "sources", "views", "data set (hash)"),
)
NO_ENCODER = "no encoder"

Numbers = dict[str, float]


@dataclass(frozen=True)
class ResultRow:
    """A row of results.md, as written.

    Attributes:
        protocol: Exact name of the protocol.
        metric: Name of the metric.
        model: Name of the model.
        features: Normalization of the features.
        fold: Fold of the test.
        score: Score in % unless the metric is named otherwise.
        interval: ``91.2 to 98.1``, the bounds of the 95 % interval.
        items: Number of test items.
        sources: Number of sources that the interval resamples.
        views: Views of each item.
        dataset: Name and hash of the data set.
    """

    protocol: str
    metric: str
    model: str
    features: str
    fold: str
    score: float
    interval: str
    items: str
    sources: str
    views: str
    dataset: str

    @property
    def bounds(self) -> tuple[float, float]:
        """Lower and upper bound of the interval."""
        low, _, high = self.interval.partition(" to ")
        return float(low), float(high)


def read_rows(folder: Path) -> list[ResultRow]:
    """Return the rows of results.md in a folder; empty if there is no such file."""
    path = folder / MARKDOWN
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    rows = []
    for line in lines:
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == len(COLUMNS):
            with suppress(ValueError):  # the header of the table
                values: dict[str, Any] = dict(zip(ResultRow.__dataclass_fields__, cells, strict=True))
                rows.append(ResultRow(**{**values, "score": float(values["score"])}))
    return rows


@dataclass(frozen=True)
class Results:
    """All rows of a run.

    Attributes:
        rows: Rows in the order of the evaluations.
        trained: Names of the trained models, in order.
        chance: Chance level of top1 in %; None for multi-label data sets.
    """

    rows: Sequence[Row]
    trained: Sequence[str]
    chance: float | None

    @property
    def overall(self) -> list[Row]:
        """The row of each metric over all folds."""
        means = {_number(row) for row in self.rows if row.fold == MEAN}
        return [row for row in self.rows if row.fold == MEAN or _number(row) not in means]

    def flat(self) -> Numbers:
        """Return one mapping of names to numbers.

        ``retrieval/R@1`` is the score of the trained encoder, ``retrieval/R@1/<name>`` if there are several;
        ``retrieval/R@1/random_init`` and ``retrieval/R@1/<baseline>`` are the references. Each also has ``/low`` and
        ``/high`` (95 % interval), ``/n`` (test items), and ``/fold<name>`` if there are several folds.
        """
        found: Numbers = {} if self.chance is None else {"chance/top1": self.chance}
        overall = self.overall
        for row in self.rows:
            alone = row.model == NO_MODEL or [row.model] == list(self.trained)
            key = f"{row.evaluation}/{row.metric}" + ("" if alone else f"/{row.model}")
            if row in overall:
                found |= {key: row.value, f"{key}/low": row.low, f"{key}/high": row.high, f"{key}/n": float(row.n)}
            else:
                found[f"{key}/fold{row.fold}"] = row.value
        return found

    def table(self) -> str:
        """Return a table with one line per metric and one column per model, for the log."""
        others = dict.fromkeys(row.model for row in self.rows if row.model not in self.trained)
        names = [*self.trained, *others]
        lines = [["score in %", *(name or NO_ENCODER for name in names)]]
        value = {_number(row): row.value for row in self.overall}
        for evaluation, metric in dict.fromkeys((row.evaluation, row.metric) for row in self.rows):
            found = [value.get((evaluation, metric, name)) for name in names]
            lines.append([f"{evaluation}/{metric}", *("" if score is None else f"{score:.1f}" for score in found)])
        if self.chance is not None:
            lines.append(["chance/top1", *(f"{self.chance:.1f}" for _ in names)])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = [[cell.rjust(width) for cell, width in zip(line, widths, strict=True)] for line in lines]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *cells[1:]]) for line, cells in zip(lines, padded, strict=True)
        )

    def markdown(self) -> str:
        """Return all rows as a Markdown page."""
        lines = [
            "# Results",
            "",
            "Scores are in % unless named otherwise. An interval is the 2.5 to 97.5 % range of 1000 bootstrap",
            "resamples of the sources (not the items) of the test. `random_init` is, for each number, the best of raw,",
            "centered and standardized features, with batch-norm statistics as they are and re-estimated.",
        ]
        if self.chance is not None:
            lines += ["", f"Chance for top1 and R@1 is {self.chance:.1f}."]
        lines += ["", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        for number in dict.fromkeys((row.evaluation, row.metric) for row in self.rows):
            lines += [_line(_cells(row)) for row in self.rows if (row.evaluation, row.metric) == number]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path) -> None:
        """Write results.json and results.md.

        Raises:
            UsageError: The files cannot be written.
        """
        try:
            (folder / JSON).write_text(json.dumps(self.flat(), indent=2) + "\n", encoding="utf-8")
            (folder / MARKDOWN).write_text(self.markdown(), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"results cannot be written to {folder}: {error.strerror or error}") from error


def _number(row: Row) -> tuple[str, str, str]:
    return row.evaluation, row.metric, row.model


def _cells(row: Row) -> list[str]:
    interval = f"{row.low:.1f} to {row.high:.1f}"
    counts = (str(row.n), str(row.groups), row.views, f"{row.dataset} ({row.dataset_hash})")
    names = (row.protocol, row.metric, row.model or NO_ENCODER, row.processing, row.fold)
    return [*names, f"{row.value:.1f}", interval, *counts]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
