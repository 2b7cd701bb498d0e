"""Output of results: results.json, results.md, and the table in the log."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stica_pv.errors import RunFailed, UsageError
from stica_pv.evaluation.protocol import MEAN, NO_MODEL, Row
from stica_pv.partial_file import partial_file

FORMAT = "stica_pv results 2"
JSON, MARKDOWN = "results.json", "results.md"
COLUMNS = (
    *("protocol", "metric", "model", "features", "fold", "score", "95 % interval"),
    *("test items", "sources", "views", "data set (hash)"),
)
NO_ENCODER = "no encoder"

Numbers = dict[str, float]


@dataclass(frozen=True)
class StoredResults:
    """Content of a results.json.

    Attributes:
        numbers: Scores by name, as `Results.flat` returns them.
        rows: Rows; none in a file of an earlier version, which holds the numbers alone.
    """

    numbers: Numbers
    rows: Sequence[Row]


def read_results(folder: Path) -> StoredResults:
    """Read results.json in a folder; return empty results if there is no such file.

    Raises:
        UsageError: The file is damaged, or a later version wrote it.
    """
    path = folder / JSON
    if not path.is_file():
        return StoredResults({}, [])
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(found, dict) and "format" not in found:  # an earlier version wrote the numbers alone
            return StoredResults({name: value for name, value in found.items() if isinstance(value, int | float)}, [])
        if found["format"] != FORMAT:
            raise UsageError(f"{path} has the format {found['format']!r}, expected {FORMAT!r}: update stica_pv")
        results = Results([Row(**row) for row in found["rows"]], found["trained"], found["chance"])
        return StoredResults(results.flat(), results.rows)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"{path} cannot be read ({error}): remove it and repeat the evaluation") from error


def overall(rows: Sequence[Row]) -> list[Row]:
    """Return the row of each metric of each model over all folds."""
    means = {_number(row) for row in rows if row.fold == MEAN}
    return [row for row in rows if row.fold == MEAN or _number(row) not in means]


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

    def flat(self) -> Numbers:
        """Return one mapping of names to numbers.

        ``retrieval/R@1`` is the score of the trained encoder, ``retrieval/R@1/<name>`` if there are several;
        ``retrieval/R@1/random_init`` and ``retrieval/R@1/<baseline>`` are the references. Each also has ``/low`` and
        ``/high`` (95 % interval), ``/n`` (test items), and ``/fold<name>`` if there are several folds.
        """
        found: Numbers = {} if self.chance is None else {"chance/top1": self.chance}
        over_folds = overall(self.rows)
        for row in self.rows:
            alone = row.model == NO_MODEL or [row.model] == list(self.trained)
            key = f"{row.evaluation}/{row.metric}" + ("" if alone else f"/{row.model}")
            if row in over_folds:
                found |= {key: row.value, f"{key}/low": row.low, f"{key}/high": row.high, f"{key}/n": float(row.n)}
            else:
                found[f"{key}/fold{row.fold}"] = row.value
        return found

    def table(self) -> str:
        """Return a table with one line per metric and one column per model, for the log."""
        others = dict.fromkeys(row.model for row in self.rows if row.model not in self.trained)
        names = [*self.trained, *others]
        lines = [["score in %", *(name or NO_ENCODER for name in names)]]
        value = {_number(row): row.value for row in overall(self.rows)}
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
            "resamples of the sources (not the items) of the test. `random_init` is, for each number, the best with",
            "batch-norm statistics as they are and re-estimated, and, unless the protocol normalizes by itself,",
            "of raw, centered and standardized features; a fine-tuned one is trained once, from scratch.",
        ]
        if self.chance is not None:
            lines += ["", f"Chance for top1 and R@1 is {self.chance:.1f}."]
        lines += ["", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
        for number in dict.fromkeys((row.evaluation, row.metric) for row in self.rows):
            lines += [_line(cells_of(row)) for row in self.rows if (row.evaluation, row.metric) == number]
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        """Return all rows as JSON, with what `flat` needs to name their scores."""
        rows = [asdict(row) for row in self.rows]
        content = {"format": FORMAT, "trained": list(self.trained), "chance": self.chance, "rows": rows}
        return json.dumps(content, indent=2) + "\n"

    def write(self, folder: Path) -> None:
        """Write results.json and results.md.

        Raises:
            RunFailed: The files cannot be written.
        """
        try:
            for name, text in ((JSON, self.json()), (MARKDOWN, self.markdown())):
                with partial_file(folder / name) as partial:
                    partial.write_text(text, encoding="utf-8")
        except OSError as error:
            raise RunFailed(f"results cannot be written to {folder}: {error.strerror or error}") from error


def _number(row: Row) -> tuple[str, str, str]:
    return row.evaluation, row.metric, row.model


def cells_of(row: Row) -> list[str]:
    """Return the cells of `COLUMNS` for a row."""
    counts = (str(row.n), str(row.groups), row.views, f"{row.dataset} ({row.dataset_hash})")
    names = (row.protocol, row.metric, row.model or NO_ENCODER, row.processing, row.fold)
    return [*names, f"{row.value:.1f}", row.interval, *counts]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
