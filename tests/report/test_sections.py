"""What the sections of a report say of made-up runs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import SCORES, made_results, made_run

from stica_pv.engine.run_folder import write_run_info
from stica_pv.evaluation.results import Results, overall
from stica_pv.report.curves import curve, thinned, training_section
from stica_pv.report.left_out import left_out_section
from stica_pv.report.overview import overview_section
from stica_pv.report.page import Section
from stica_pv.report.runs import Run, read_runs
from stica_pv.report.scores import headline, is_trained, scores_section
from stica_pv.report.settings import differing_keys, hardware_section, settings_section


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """One to its end, one killed early with another learning rate."""
    parent = tmp_path_factory.mktemp("runs")
    whole = made_run(parent / "whole")
    return read_runs([whole, made_run(parent / "killed", steps=4, evaluated=False, SOLVER__BASE_LR=0.5, LOG_PERIOD=2)])


def text_of(section: Section | None) -> str:
    assert section is not None
    return section.html.replace("<wbr>", "")


def test_the_first_section_states_state_pace_and_result(runs: list[Run]):
    text = text_of(overview_section(runs))
    for expected in (
        "finished: step 6 of 6", "not finished: step 4 of 6", "0:00:03",
        "<td>20</td><td>19</td>", "<td>2</td><td>2</td>",
        "<td>62.5 (57.5 to 67.5)</td><td>30.0 (25.0 to 35.0)</td><td>25.0 (20.0 to 30.0)</td><td>12.5</td>",
        "killed: Training is not finished",
    ):  # fmt: skip
        assert expected in text, expected


def test_differing_keys_stand_first_that_change_what_is_computed(runs: list[Run]):
    configs = [run.config for run in runs]
    assert differing_keys(configs) == ["SOLVER.BASE_LR", "LOG_PERIOD"]
    assert differing_keys([{"a": 1, "b": 1}, {"a": 1}]) == []
    text = text_of(settings_section(runs))
    assert "<td>SOLVER.BASE_LR</td><td>0.01</td><td>0.5</td>" in text
    assert "The runs differ in 2 keys" in text


def test_scores_stand_beside_random_initialisation_and_colors(runs: list[Run]):
    text = text_of(scores_section(runs))
    for expected in ("retrieval (x|y): 160 test items of 40 sources", "57.5 to 67.5", "killed: not evaluated yet"):
        assert expected in text
    assert [is_trained(name) for name in SCORES] == [True, False, False]
    assert not is_trained("random_init of a")


def test_results_without_their_protocols_are_shown_as_they_are(tmp_path: Path):
    (made_run(tmp_path) / "results.json").write_text(json.dumps(made_results(SCORES).flat()))  # an earlier version's
    (run,) = read_runs([tmp_path])
    assert '<td>retrieval/R@1</td><td class="number">62.5</td>' in text_of(scores_section([run]))
    assert headline([run]) == ""


def test_of_several_folds_their_mean_counts(tmp_path: Path):
    rows = [replace(row, fold=fold) for fold in ("1", "mean") for row in made_results({"trained": 50.0}).rows]
    Results(rows, ["trained"], None).write(tmp_path)
    (run,) = read_runs([tmp_path])
    assert [row.fold for row in overall(run.rows)] == ["mean", "mean"]


def test_files_are_counted_by_cause_and_named(runs: list[Run]):
    text = text_of(left_out_section(runs))
    assert "<td>before training</td><td>has no audio</td>" in text
    assert "<td>in reading</td><td>hung</td>" in text
    assert "hung: 60 s" in text
    assert "&lt;img" in text


def test_hardware_and_versions_stand_for_each_run(runs: list[Run]):
    text = text_of(hardware_section(runs))
    for name in ("cpu", "memory", "gpus", "torch", "python"):
        assert f"<td>{name}</td>" in text


def test_a_curve_is_scaled_and_leaves_out_what_is_no_number(tmp_path: Path):
    with (made_run(tmp_path, steps=2) / "json_stats.log").open("a") as file:
        file.write(
            '{"step": 3, "epoch": 1.5, "loss": 4.0, "data_share": 0.5}\n'
            '{"step": 4, "loss": 1.0}\n{"step": 5, "loss": NaN}\n'
        )
    (run,) = read_runs([tmp_path])
    assert curve(run, "loss") == [(1.0, 2.0), (1.5, 4.0), (4.0, 1.0)]
    assert curve(run, "data_share") == [(1.0, 2.0), (1.5, 50.0)]


def test_long_curves_become_means_of_equal_parts_up_to_their_end():
    points = [(float(i), float(i)) for i in range(10)]
    assert thinned(points, 4) == [(2.0, 1.0), (5.0, 4.0), (8.0, 7.0), (9.0, 9.0)]
    assert thinned(points, 10) == points
    assert thinned([], 4) == []


def test_the_numbers_that_a_run_describes_are_explained_below_the_curves(tmp_path: Path):
    folder = made_run(tmp_path)
    write_run_info(folder, {"steps": 6, "metrics": {"loss": "What my method minimizes.", "other": "Not recorded."}})
    text = text_of(training_section(read_runs([folder])))
    assert "<td>loss</td><td>What my method minimizes.</td>" in text
    assert "Not recorded." not in text
