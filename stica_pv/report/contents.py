"""Sections of the report of a run, and of the dashboard of several, in order."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stica_pv.report.curves import LEGEND_RUNS, monitors_section, online_section, speed_section, training_section
from stica_pv.report.dashboard import REPORT, dashboard_section
from stica_pv.report.gallery import Gallery
from stica_pv.report.left_out import left_out_section
from stica_pv.report.page import Section, write_page
from stica_pv.report.runs import Run, find_runs, read_runs
from stica_pv.report.scores import scores_section
from stica_pv.report.settings import describe_method, hardware_section, settings_section
from stica_pv.report.summary import facts_of, summary_section

NAME = REPORT
Maker = Callable[[Sequence[Run]], Section | None]

# Each function builds a section of the runs, or returns None if it does not apply.
COURSE: tuple[Maker, ...] = (training_section, monitors_section, online_section, speed_section)
DETAILS: tuple[Maker, ...] = (settings_section, left_out_section, hardware_section)


def write_report(folders: Sequence[Path], path: Path, gallery: Gallery | None = None) -> Path:
    """Write the report of one run, or the dashboard of several.

    Args:
        folders: OUTPUT_DIRs of runs, or folders that contain some.
        path: Output HTML file.
        gallery: Test clips of a single run.

    Returns:
        `path`.

    Raises:
        UsageError: A folder holds no run, or the file cannot be written.
    """
    runs = read_runs(find_runs(folders))
    if len(runs) > 1:
        few = len(runs) <= LEGEND_RUNS  # the others have a column per run
        makers = (scores_section, *COURSE, *DETAILS) if few else COURSE
        return write_page(path, f"{len(runs)} runs", [dashboard_section(runs, path), *_made(makers, runs)])
    (run,) = runs
    gallery = gallery or Gallery()
    sections = [
        summary_section(run, gallery.highlights),
        *_made((scores_section,), runs),
        *gallery.sections,
        *_made((*COURSE, *DETAILS), runs),
    ]
    return write_page(path, run.name, sections, subtitle=describe_method(run), facts=facts_of(run))


def _made(makers: Sequence[Maker], runs: Sequence[Run]) -> list[Section]:
    return [section for make in makers if (section := make(runs)) is not None]
