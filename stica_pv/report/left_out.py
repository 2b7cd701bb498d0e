"""Files that a run excluded or could not read, by cause and name."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from markupsafe import Markup

from stica_pv.data.manifest.bad_files import EXCLUDED
from stica_pv.report.page import Cell, Section, card, join, missing, table
from stica_pv.report.runs import Run

MOST_NAMES = 500  # per run; bad_files.csv has all


def left_out_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of counts by cause and names; None if no run trains."""
    trained = [run for run in runs if run.trains]
    if not trained:
        return None
    counts = [Counter((row["stage"], _kind(row["cause"])) for row in run.bad_files) for run in trained]
    kinds = sorted({kind for count in counts for kind in count})
    if not kinds:
        return Section("Excluded files", card(Markup("<p>None: every file of the list could be used and read.</p>")))
    rows: list[list[Cell]] = [[_when(kind[0]), kind[1], *(count[kind] for count in counts)] for kind in kinds]
    totals: list[Cell] = ["", "total", *(sum(count.values()) for count in counts)]
    parts = [table(["when", "cause", *(run.name for run in trained)], [*rows, totals])]
    intro = (
        "A file whose header shows that it cannot be used is excluded before training; one that fails in reading is "
        "replaced by another one."
    )
    return Section("Excluded files", card(join([*parts, *(_names(run) for run in trained if run.bad_files)])), intro)


def _when(stage: str) -> str:
    return "before training" if stage == EXCLUDED else "in reading"


def _kind(cause: str) -> str:
    """Return the part of a cause that files share, without its numbers."""
    return cause.partition(":")[0]


def _names(run: Run) -> Markup:
    by_cause = defaultdict(list)
    for row in run.bad_files:
        by_cause[row["stage"], _kind(row["cause"])].append(row)
    rows = [
        [row["path"], row["cause"], _when(row["stage"]), row["step"]] for found in by_cause.values() for row in found
    ]
    shown = table(["file", "cause", "when", "step"], rows[:MOST_NAMES], folded=f"Names of the files of {run.name}")
    cut = len(rows) - MOST_NAMES
    return join([shown, missing([f"{cut} more are listed in bad_files.csv."])]) if cut > 0 else shown
