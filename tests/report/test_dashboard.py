"""The table of runs: what may be compared, what the filter searches, and links to reports."""

import re
from pathlib import Path

import pytest
from made_runs import made_results, made_run

from stica_pv.report.contents import write_report
from stica_pv.report.curves import LEGEND_RUNS
from stica_pv.report.dashboard import dashboard_section
from stica_pv.report.runs import Run, read_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two of one data set, one of another, one without scores."""
    parent = tmp_path_factory.mktemp("runs")
    folders = [made_run(parent / name, SOLVER__BASE_LR=rate) for name, rate in (("a", 0.1), ("b", 0.2), ("c", 0.3))]
    made_results({"trained": 90.0, "random_init": 30.0}).write(folders[1])
    for name in ("results.md", "results.json"):
        path = folders[2] / name
        path.write_text(path.read_text().replace("ab12", "cd34"))
    return read_runs([*folders, made_run(parent / "d", steps=2, evaluated=False, SOLVER__BASE_LR=0.1)])


def test_scores_of_different_data_are_in_columns_of_their_own(runs: list[Run], tmp_path: Path):
    html = dashboard_section(runs, tmp_path / "report.html").html
    heads = [re.sub(r"<[^>]+>", "", head) for head in re.findall(r"<button type=\"button\">(.*?)</button>", html)]
    assert heads == [
        "Run", "State", "Retrieval, R@1 (%), csv (ab12)", "Retrieval, R@1 (%), csv (cd34)", "Last loss, all terms",
        "SOLVER.BASE_LR", "Training time",
    ]  # fmt: skip
    assert re.findall(r'class="number best" data-value="([\d.]+)"', html) == ["90.0", "62.5"]


def test_the_filter_searches_names_state_and_values_of_keys(runs: list[Run], tmp_path: Path):
    html = dashboard_section(runs, tmp_path / "report.html").html
    texts = re.findall(r'data-text="([^"]+)"', html)
    assert texts[0] == "a finished: step 6 of 6 solver.base_lr=0.1"
    assert texts[3].startswith("d not finished: step 2 of 6 ")


def test_a_run_links_to_its_report_if_it_has_one(runs: list[Run], tmp_path: Path):
    (runs[1].folder / "report.html").touch()
    html = dashboard_section(runs, runs[0].folder.parent / "all.html").html
    assert re.findall(r'<a href="([^"]+)"', html) == ["b/report.html"]
    (runs[1].folder / "report.html").unlink()


def test_many_runs_are_compared_without_a_column_for_each(tmp_path: Path):
    for number in range(LEGEND_RUNS + 1):
        made_run(tmp_path / "runs" / f"r{number}", steps=4, RNG_SEED=number)
    text = write_report([tmp_path / "runs"], tmp_path / "all.html").read_text()
    assert "best 8 of 9 runs" in text
    assert '<section id="settings">' not in text
    assert text.count("<tr data-run=") == 9
    assert "18 notes on the runs" in text  # each is unfinished and has no checkpoint
