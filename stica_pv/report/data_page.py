"""The page of `stica-pv check-dataset`: content of a training list, and its use by a recipe."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from stica_pv.data.loading.read_test import ReadTest
from stica_pv.data.manifest.overview import Counts
from stica_pv.data.manifest.videos import short_cause
from stica_pv.report.charts import Bar, BarGroup, bar_chart, series_style
from stica_pv.report.page import Section, card, grid, join, missing, pairs, show, table, write_page
from stica_pv.safe_text import csv_cells
from stica_pv.structures import ReadFailure

MOST_NAMES = 500  # on a page; the csv has all
MOST_BARS = 30


@dataclass(frozen=True)
class DataCheck:
    """Findings of a check.

    Attributes:
        title: Name of the list.
        refusal: Reason why training would refuse the list; empty if it would not.
        totals: Name, value and unit of each total over the list.
        excluded: Files that the recipe does not use, missing files included, with the cause.
        spreads: Distributions of header values.
        classes: Classes with their number of videos, the most frequent first.
        copies: Names of copies, each with the name of the first file of the same content.
        trial: Result of reading some samples; None if nothing could be read.
        workers: Number of loader processes in training.
        samples: Number of samples per epoch.
    """

    title: str
    refusal: str
    totals: Sequence[tuple[str, float, str]]
    excluded: Sequence[ReadFailure]
    spreads: Sequence[Counts]
    classes: Sequence[tuple[str, int]]
    copies: Sequence[tuple[str, str]]
    trial: ReadTest | None
    workers: int
    samples: int

    def causes(self) -> list[tuple[str, int]]:
        """Return causes with their number of files, the most frequent first."""
        return Counter(short_cause(failure.cause) for failure in self.excluded).most_common()

    def cost(self) -> list[tuple[str, float, str]]:
        """Return the cost of reading: name, value and unit."""
        if self.trial is None or not self.trial.seconds:
            return []
        speed, processes = self.trial.clips_per_second(), max(1, self.workers)
        return [
            ("samples read", self.trial.samples, ""),
            ("samples failed", len(self.trial.failures), ""),
            ("time per sample, one process", 1000 * self.trial.seconds, "ms"),
            ("speed of one process", speed, "samples/s"),
            (f"speed of DATA_LOADER.NUM_WORKERS {self.workers}, one core each", speed * processes, "samples/s"),
            (f"an epoch of {self.samples} samples", self.samples * self.trial.seconds / 3600, "core hours"),
            (
                "silent audio tracks, 60 dB below full scale",
                _percent(self.trial.silent, self.trial.audio_tracks),
                "% of these",
            ),
        ]


def write_data_page(path: Path, found: DataCheck) -> Path:
    """Write the page; see `stica_pv.report.page.write_page`."""
    sections = [_acceptance(found), _excluded(found), _spreads(found), _classes(found), _copies(found), _cost(found)]
    return write_page(path, f"Data check: {found.title}", sections)


def data_csv(found: DataCheck) -> str:
    """Return the numbers of the page as csv: table, name, value, unit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("table", "name", "value", "unit"))
    writer.writerows(map(csv_cells, _rows(found)))
    return text.getvalue()


def _rows(found: DataCheck) -> Iterator[tuple[str, str, float, str]]:
    yield from (("totals", *row) for row in found.totals)
    yield from (("left out", cause, count, "files") for cause, count in found.causes())
    for spread in found.spreads:
        title = f"{spread.title}, {spread.unit}"
        yield from ((title, name, count, "files") for name, count in zip(spread.names, spread.counts, strict=True))
    yield from (("classes", name, count, "files") for name, count in found.classes)
    yield "copies", "copies of another file of the list", len(found.copies), "files"
    yield from (("reading", *row) for row in found.cost())


def _acceptance(found: DataCheck) -> Section:
    answer = f"No: {found.refusal}" if found.refusal else "Yes."
    shown = [
        Markup("<p><strong>{}</strong></p>").format(answer),
        pairs([(name, f"{show(value)} {unit}".rstrip()) for name, value, unit in found.totals]),
    ]
    return Section("Does training accept the list?", card(join(shown)))


def _excluded(found: DataCheck) -> Section:
    title, total = "Excluded files", sum(value for name, value, _ in found.totals if name == "files")
    if not found.excluded:
        return Section(title, card(Markup("<p>None: the recipe can use every file of the list.</p>")))
    rows = [(cause, count, _percent(count, total)) for cause, count in found.causes()]
    names = sorted(found.excluded, key=lambda failure: short_cause(failure.cause))
    parts = [
        table(("cause", "files", "% of the list"), rows),
        table(("file", "cause"), [(one.path, one.cause) for one in names[:MOST_NAMES]], folded="Names of the files"),
        *_more(len(names)),
    ]
    return Section(title, card(join(parts)), "This recipe cannot use these files; training continues without them.")


def _spreads(found: DataCheck) -> Section:
    charts = [_bars(spread) for spread in found.spreads if spread.counts]
    html = grid(charts, "grid fill") if charts else missing(["No file could be opened."])
    return Section("Media headers", html, "All readable files, used by the recipe or not.")


def _bars(counts: Counts) -> Markup:
    bars = [
        Bar(name, count, series_style(0))
        for name, count in zip(counts.names[:MOST_BARS], counts.counts[:MOST_BARS], strict=True)
    ]
    numbers = table((counts.unit, "files"), zip(counts.names, counts.counts, strict=True), folded="Numbers")
    return bar_chart([BarGroup("", bars)], title=counts.title, note=counts.unit, unit="files", numbers=numbers)


def _classes(found: DataCheck) -> Section:
    title = "Class balance"
    if not found.classes:
        return Section(title, missing(["The list has no labels."]))
    names, counts = zip(*found.classes, strict=True)
    summary = f"{len(names)} classes; the largest has {max(counts)} videos, the smallest {min(counts)}."
    shown = _bars(Counts("Videos per class, the largest first", "class", names, counts))
    return Section(
        title, join([Markup("<p>{}</p>").format(summary), grid([shown])]), "Labels are not used in pre-training."
    )


def _copies(found: DataCheck) -> Section:
    title = "Copies"
    if not found.copies:
        return Section(title, card(Markup("<p>No two files of the list hold the same bytes.</p>")))
    intro = "A video under two names is its own false negative if both are in one batch."
    rows = table(("file", "same bytes as"), found.copies[:MOST_NAMES], folded="Names of the files")
    summary = Markup("<p>{}</p>").format(f"Files with the same bytes as an earlier file: {len(found.copies)}.")
    return Section(title, card(join([summary, rows, *_more(len(found.copies))])), intro)


def _cost(found: DataCheck) -> Section:
    title, rows = "Reading speed", found.cost()
    if not rows:
        return Section(title, missing(["No sample was read; see above."]))
    failed = [(one.path, one.cause) for one in found.trial.failures] if found.trial else []
    parts = [table(("measurement", "value", "unit"), rows), *([table(("file", "cause"), failed)] if failed else [])]
    intro = "Measured on this machine, on samples evenly spread over the list, with the views of the recipe."
    return Section(title, card(join(parts)), intro)


def _more(count: int) -> list[Markup]:
    return [missing([f"{count - MOST_NAMES} more are listed in data_files.csv."])] if count > MOST_NAMES else []


def _percent(part: float, total: float) -> float:
    return 100 * part / total if total else 0.0
