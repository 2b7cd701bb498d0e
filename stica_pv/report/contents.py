"""Sections of the report of a run, in order."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stica_pv.report.curves import knn_section, monitors_section, speed_section, training_section
from stica_pv.report.left_out import left_out_section
from stica_pv.report.overview import overview_section
from stica_pv.report.page import Section, write_page
from stica_pv.report.runs import Run, read_runs
from stica_pv.report.scores import scores_section
from stica_pv.report.settings import hardware_section, settings_section

NAME = "report.html"
Maker = Callable[[Sequence[Run]], Section | None]

# Each function builds a section of the runs, or returns None if it does not apply. The gallery needs the data; it is
# built elsewhere and placed between RESULTS and COURSE.
RESULTS: tuple[Maker, ...] = (overview_section, settings_section, scores_section)
COURSE: tuple[Maker, ...] = (
    training_section,
    monitors_section,
    knn_section,
    speed_section,
    left_out_section,
    hardware_section,
)


def write_report(folders: Sequence[Path], path: Path, gallery: Sequence[Section] = ()) -> Path:
    """Write the report of one run, or of several runs side by side.

    Args:
        folders: OUTPUT_DIRs of the runs.
        path: Output HTML file.
        gallery: Sections to place after the evaluation.

    Returns:
        `path`.

    Raises:
        UsageError: A folder holds no run, the extra is missing, or the file cannot be written.
    """
    runs = read_runs(folders)
    title = runs[0].name if len(runs) == 1 else f"{len(runs)} runs"
    results, course = ([made for made in (make(runs) for make in some) if made] for some in (RESULTS, COURSE))
    return write_page(
        path, title, [*results, *gallery, *course], subtitle=str(runs[0].folder) if len(runs) == 1 else ""
    )
