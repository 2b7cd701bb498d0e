"""What the sections of a report say of made-up runs."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_runs import SCORES, made_results, made_run
from markupsafe import Markup

from stica_pv.engine.run_folder import write_run_info
from stica_pv.evaluation.results import Results, overall
from stica_pv.report.curves import curve, monitors_section, speed_section, thinned, training_section
from stica_pv.report.left_out import left_out_section
from stica_pv.report.page import Section
from stica_pv.report.runs import Run, read_runs
from stica_pv.report.scores import is_trained, main_scores, scores_section, scores_summary
from stica_pv.report.settings import differing_keys, hardware_section, settings_section
from stica_pv.report.summary import facts_of, summary_section


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """One to its end, one killed early with another learning rate."""
    parent = tmp_path_factory.mktemp("runs")
    whole = made_run(parent / "whole")
    return read_runs([whole, made_run(parent / "killed", steps=4, evaluated=False, SOLVER__BASE_LR=0.5, LOG_PERIOD=2)])


def text_of(section: Section | None) -> str:
    assert section is not None
    return section.html.replace("<wbr>", "")


def test_the_summary_has_state_speed_scores_and_curves(runs: list[Run]):
    whole, killed = runs
    assert facts_of(whole) == [
        ("State", "finished: step 6 of 6"), ("Training time", "0:00:03"), ("Clips per second", "20"),
        ("Data wait", "2 %"), ("Peak memory", "2 GiB"), ("Parameters", "1.2 M"),
    ]  # fmt: skip
    assert facts_of(killed)[0] == ("State", "not finished: step 4 of 6")
    text = text_of(summary_section(whole, Markup("<p>clips</p>")))
    for expected in (
        "Main scores",
        "Retrieval, R@1",
        "chance, 12.5 %",
        "Loss, all terms",
        "Online kNN",
        "<p>clips</p>",
    ):
        assert expected in text, expected
    assert text.index("trained</span>") < text.index("random initialization</span>") < text.index("4 × 4 colors</span>")
    text = text_of(summary_section(killed, Markup("")))
    assert "Main scores" not in text
    assert "Training is not finished" in text


def test_what_is_missing_is_said_once(tmp_path: Path):
    (run,) = read_runs([made_run(tmp_path, evaluated=False, TEST__ENABLE=False)])
    (tmp_path / "env.txt").unlink()
    (run,) = read_runs([tmp_path])
    made = [
        summary_section(run, Markup("")),
        *(make([run]) for make in (scores_section, settings_section, hardware_section)),
    ]
    text = " ".join(section.html for section in made if section)
    assert text.count("Nothing was evaluated") == 1
    assert text.count("hardware and versions are unknown") == 1
    assert scores_section([run]) is hardware_section([run]) is None


def test_a_run_without_steps_has_no_empty_sections(tmp_path: Path):
    (run,) = read_runs([made_run(tmp_path, steps=0, evaluated=False)])
    assert [make([run]) for make in (training_section, monitors_section, speed_section)] == [None] * 3
    assert "No training step was logged" in text_of(summary_section(run, Markup("")))


def test_equal_curves_are_one_line_under_both_names(tmp_path: Path):
    with (made_run(tmp_path, steps=0) / "json_stats.log").open("a") as file:
        for step in (1, 2):
            terms = f'"loss_within": {step}, "loss_space": {step}, "loss_cross": 5'
            file.write(f'{{"step": {step}, "epoch": {step}, "loss": {step + 5}, {terms}, "spread_x": 1}}\n')
    (run,) = read_runs([tmp_path])
    text = text_of(training_section([run]))
    assert text.count("<figure") == 1
    assert "within-modal = spatial crops" in text
    assert text.count('class="line"') == 2
    runs = read_runs([tmp_path, made_run(tmp_path / "b")])
    text = text_of(training_section(runs))
    assert "Within-modal loss = Loss of spatial crops" in text
    paths = re.findall(r'class="line"[^>]* d="([^"]+)"', text)
    assert len(paths) == len({*paths})


def test_differing_keys_stand_first_that_change_what_is_computed(runs: list[Run]):
    configs = [run.config for run in runs]
    assert differing_keys(configs) == ["SOLVER.BASE_LR", "LOG_PERIOD"]
    assert differing_keys([{"a": 1, "b": 1}, {"a": 1}]) == []
    text = text_of(settings_section(runs))
    assert "<td>SOLVER.BASE_LR</td><td>0.01</td><td>0.5</td>" in text
    assert "The runs differ in 2 keys" in text


def test_scores_stand_beside_random_initialisation_and_colors(runs: list[Run]):
    text = text_of(scores_section(runs))
    for expected in ("retrieval (x|y). 160 test items of 40 sources", "62.5 (57.5 to 67.5)", "nearest training clip"):
        assert expected in text
    assert [is_trained(name) for name in SCORES] == [True, False, False]
    assert not is_trained("random_init of a")


def test_results_without_their_protocols_are_shown_as_they_are(tmp_path: Path):
    (made_run(tmp_path) / "results.json").write_text(json.dumps(made_results(SCORES).flat()))  # an earlier version's
    (run,) = read_runs([tmp_path])
    assert '<td>retrieval/R@1</td><td class="number">62.5</td>' in text_of(scores_section([run]))
    assert scores_summary([run]) == ""
    assert main_scores(run) == {}


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
