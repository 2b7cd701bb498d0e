from pathlib import Path

import pytest
from made_runs import made_run

from stica_pv.errors import UsageError
from stica_pv.report.runs import find_runs, read_runs


def test_a_whole_run_lacks_nothing(tmp_path: Path):
    made_run(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").mkdir()
    (tmp_path / "run" / "checkpoints" / "step_00000006.pyth").touch()
    (run,) = read_runs([tmp_path / "run"])
    assert list(run.missing) == []
    assert [line["step"] for line in run.steps] == [2, 4, 6]
    assert [line["online_knn/top1"] for line in run.epochs] == [40.0]
    assert run.results["retrieval/R@1"] == 62.5
    assert run.config["TASK"] == "av_contrastive"
    assert run.environment["torch"]
    assert (run.name, run.trains, run.last_step) == ("run", True, 6)


def test_a_killed_run_says_what_is_missing(tmp_path: Path):
    folder = made_run(tmp_path, steps=2, evaluated=False)
    for name in ("metrics.jsonl", "json_stats.log"):
        with (folder / name).open("a") as file:
            file.write('{"step": 3, "lo')
    (folder / "env.txt").unlink()
    (run,) = read_runs([folder])
    assert run.last_step == 2
    text = " ".join(run.missing)
    for expected in (
        "metrics.jsonl is incomplete",
        "2 of 6 steps",
        "no checkpoint",
        "evaluation is not finished",
        "env.txt is missing",
    ):
        assert expected in text


def test_numbers_without_timings_are_used(tmp_path: Path):
    (made_run(tmp_path) / "json_stats.log").unlink()
    (run,) = read_runs([tmp_path])
    assert run.last_step == 6
    assert any("json_stats.log is missing" in sentence for sentence in run.missing)


@pytest.mark.parametrize("content", ["", "{", "[1]", "a: [", "\x00"])
def test_files_that_are_no_files_of_ours_are_named(tmp_path: Path, content: str):
    made_run(tmp_path)
    for name in ("config.yaml", "run.json", "results.json", "results.md", "metrics.jsonl", "json_stats.log", "env.txt"):
        (tmp_path / name).write_text(content)
    (run,) = read_runs([tmp_path])
    assert (dict(run.config), dict(run.info), list(run.steps), list(run.rows)) == ({}, {}, [], [])
    assert any("results.json cannot be read" in text for text in run.missing)
    for name in ("config.yaml", "run.json"):
        assert f"{name} cannot be read." in run.missing


def test_an_incomplete_line_of_bad_files_keeps_its_name(tmp_path: Path):
    with (made_run(tmp_path) / "bad_files.csv").open("a") as file:
        file.write("read,5,clips/last.mp4")
    (run,) = read_runs([tmp_path])
    assert (run.bad_files[-1]["path"], run.bad_files[-1]["cause"]) == (
        "clips/last.mp4",
        "unknown: the line is incomplete",
    )


def test_runs_are_named_by_what_differs_between_them(tmp_path: Path):
    folders = [made_run(tmp_path / name, steps=0) for name in ("a/run", "b/run")]
    assert [run.name for run in read_runs([*folders, folders[0]])] == ["a/run", "b/run"]


def test_runs_are_found_below_a_folder(tmp_path: Path):
    folders = [made_run(tmp_path / name, steps=0) for name in ("b/run", "a/run", "a/run/again")]
    (tmp_path / "empty").mkdir()
    assert find_runs([tmp_path]) == [folders[1], folders[2], folders[0]]
    assert find_runs([folders[1]]) == [folders[1]]  # a run is itself, whatever is below it


@pytest.mark.parametrize(("name", "message"), [("none", "no such folder"), ("empty", "holds no run")])
def test_a_wrong_folder_is_a_usage_error(tmp_path: Path, name: str, message: str):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        find_runs([tmp_path / name])
