"""The ablation command: what it runs, what it chooses, how it continues, and the intervals it prints."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import yaml
from made_grids import GRID, TOP1, leave_results

from stica_pv.commands import ablation
from stica_pv.commands.ablations import table
from stica_pv.commands.ablations.grid import read_grid
from stica_pv.commands.ablations.statistics import estimate, paired
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure

ROOT = Path(__file__).resolve().parents[2]

GRIDS = sorted((ROOT / "projects/stica/ablations").glob("*/grid.yaml"))


@pytest.fixture
def grid_file(tmp_path: Path) -> Path:
    """A grid of two cells."""
    (tmp_path / "base.yaml").write_text("TASK: av_contrastive\n")
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump(GRID))
    return path


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands for `stica-pv train`: writes what a finished run leaves, and keeps the command lines."""
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command[6:])
        leave_results(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(ablation.subprocess, "run", run)
    return commands


def test_a_grid_chooses_by_the_training_videos_then_measures_and_prints_paired_differences(
    grid_file: Path, done: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert ablation.main([str(grid_file), "SOLVER.MAX_EPOCH", "2", "--out", str(tmp_path / "out")]) == 0
    assert len(done) == 4 + 6
    assert all("SOLVER.MAX_EPOCH 2 " in " ".join(arguments) for arguments in done)
    assert sum("CROP.NUM_LARGE_SPATIAL 2 " in " ".join(arguments) for arguments in done) == 5
    rates = {
        Path(arguments[-1]).parent.name: arguments[arguments.index("SOLVER.BASE_LR") + 1] for arguments in done[4:]
    }
    assert rates == {"plain": "0.2", "crops": "0.1"}
    page = (tmp_path / "out" / "ablation.md").read_text()
    assert page in capsys.readouterr().out
    low, high = scipy.stats.ttest_rel(TOP1["crops"], TOP1["plain"]).confidence_interval()
    assert f"crops − plain | 9.7 [{low:.1f}, {high:.1f}] | 3 | yes |" in page
    assert "10 runs were started: 4 to choose, 6 to measure (of 6)." in page
    low, high = scipy.stats.t.interval(0.95, 2, 21.0, scipy.stats.sem([20.0, 21.0, 22.0]))
    assert f"| random_init | 21.0 [{low:.1f}, {high:.1f}] | – | 3 |" in page  # cells of a replicate share it
    low, high = scipy.stats.ttest_rel(TOP1["plain"], [21.0, 21.0, 22.0]).confidence_interval()
    above = np.mean(TOP1["plain"]) - 64 / 3
    assert f" | {above:.1f} [{low:.1f}, {high:.1f}] | 3 | {', '.join(map(str, TOP1['plain']))} |" in page
    assert "fold" not in page
    assert (tmp_path / "out" / "ablation.png").stat().st_size > 5000


def test_repeating_the_command_runs_only_what_is_unfinished(grid_file: Path, done: list[list[str]], tmp_path: Path):
    arguments = [str(grid_file), "--out", str(tmp_path / "out")]
    assert ablation.main(arguments) == 0
    (tmp_path / "out" / "crops" / "replicate1" / "results.json").unlink()
    done.clear()
    assert ablation.main([*arguments, "--table"]) == 0
    assert not done
    page = (tmp_path / "out" / "ablation.md").read_text()
    assert "Not finished: crops/replicate1." in page
    assert "crops − plain | 9.0 [" in page  # of the two pairs that are whole
    assert ablation.main(arguments) == 0
    assert [(Path(arguments[-1]).parent.name, arguments[-1][-10:]) for arguments in done] == [("crops", "replicate1")]


def begun(file: Path, folder: Path, *arguments: str) -> None:
    """Writes the configuration of a run into its folder, and the first of its numbers."""
    cfg = configure(str(file), [*arguments, "OUTPUT_DIR", str(folder)])
    del cfg["LOG_PERIOD"]  # as a run that is older than the key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(cfg.dump())
    with (folder / "metrics.jsonl").open("a") as lines:
        lines.write('{"step": 5}\n')


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        (
            ["SOLVER.MAX_EPOCH", "7"],
            {},
            "plain/base_lr-0.1 contains a run with other settings (SOLVER.MAX_EPOCH 1",
        ),
        (
            ["--table", "DATA.PATH_TO_DATA_DIR", "b"],
            {},
            "0.1 contains a run with other settings (DATA.PATH_TO_DATA_DIR 'a' -> 'b')",
        ),
        (
            ["TEST.KNN_K", "7"],
            {},
            "0.1 contains a run with other settings (TEST.KNN_K 20 -> 7): choose another --out, or",
        ),
        (
            ["--table"],
            {"REPLICATES": ["RNG_SEED 5"]},
            "plain/replicate0 contains a run with other settings (RNG_SEED 0 -> 5)",
        ),
        ([], {"CELLS": {"plain": "base.yaml BN.SYNC False"}, "CONTRASTS": {}}, "(BN.SYNC True -> False)"),
        (["NUM_GPUS", "0", "DATA_LOADER.NUM_WORKERS", "1", "DATA.PATH_TO_DATA_DIR", str(Path("a").resolve())], {}, ""),
        (["TEST.BATCH_SIZE", "3", "LOG_PERIOD", "7"], {}, ""),
    ],
)
def test_runs_of_other_settings_are_not_taken_for_those_of_the_grid(
    arguments: list[str], changes: dict[str, object], message: str, grid_file: Path, done, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(table, "plot", lambda grid, runs, path: path.touch())
    data, out = ["DATA.PATH_TO_DATA_DIR", "a"], tmp_path / "out"
    command = [str(grid_file), *data, "--out", str(out)]
    assert ablation.main(command) == 0
    choosing = ["RNG_SEED", "9", "SOLVER.BASE_LR", "0.1"]
    begun(tmp_path / "base.yaml", out / "plain/base_lr-0.1", *data, *choosing)
    (out / "plain/base_lr-0.1/run.json").write_text('{"steps": 4}')
    begun(tmp_path / "base.yaml", out / "plain/replicate0", *data, "RNG_SEED", "0", "SOLVER.BASE_LR", "0.2")
    grid_file.write_text(yaml.safe_dump(GRID | changes))
    done.clear()
    capsys.readouterr()
    assert ablation.main([*command, *arguments]) == (2 if message else 0)
    assert message in capsys.readouterr().err
    assert not done


def test_an_unfinished_run_goes_on_with_what_may_differ_between_its_lives_and_an_unbegun_one_with_all(
    grid_file: Path, done: list[list[str]], tmp_path: Path
):
    folder = tmp_path / "out" / "plain" / "base_lr-0.1"
    begun(tmp_path / "base.yaml", folder, "RNG_SEED", "9", "SOLVER.BASE_LR", "0.1", "TRAIN.MAX_STEPS", "1")
    command = [str(grid_file), "--out", str(tmp_path / "out")]
    assert ablation.main([*command, "SOLVER.MAX_EPOCH", "7"]) == 2
    (folder / "metrics.jsonl").write_text("")
    assert ablation.main([*command, "SOLVER.MAX_EPOCH", "7", "--table"]) == 0
    begun(tmp_path / "base.yaml", folder, "RNG_SEED", "9", "SOLVER.BASE_LR", "0.1", "TRAIN.MAX_STEPS", "1")
    assert ablation.main(command) == 0
    assert len(done) == 10


def test_nothing_is_measured_before_every_choice_is_made(grid_file: Path, tmp_path: Path, capsys):
    assert ablation.main([str(grid_file), "--out", str(tmp_path / "out"), "--table"]) == 0
    assert "SOLVER.BASE_LR is not chosen yet" in capsys.readouterr().out


def test_a_choosing_run_that_ends_without_its_number_is_reported(grid_file: Path, done, tmp_path: Path, capsys):
    choose = GRID["CHOOSE"] | {"MEASURE": "online_knn/top5"}
    grid_file.write_text(yaml.safe_dump(GRID | {"CHOOSE": choose}))
    assert ablation.main([str(grid_file), "--out", str(tmp_path / "out")]) == 2
    assert "ended without online_knn/top5: TEST.ONLINE_KNN_EPOCHS in WITH" in capsys.readouterr().err
    assert len(done) == 4


def test_cells_that_do_different_things_are_not_compared(grid_file: Path, done, tmp_path: Path):
    grid = {name: value for name, value in GRID.items() if name not in ("CHOOSE", "CONTRASTS")}
    grid_file.write_text(yaml.safe_dump(grid | {"MEASURES": ["knn/top1", "svm/top1"]}))
    assert ablation.main([str(grid_file), "--out", str(tmp_path / "out")]) == 0
    (tmp_path / "out" / "crops" / "replicate0" / "results.json").write_text('{"svm/top1": 70.0}')
    for number in (1, 2):
        (tmp_path / "out" / "crops" / f"replicate{number}" / "results.json").write_text("{}")
    assert ablation.main([str(grid_file), "--out", str(tmp_path / "out"), "--table"]) == 0
    knn, svm = (tmp_path / "out" / "ablation.md").read_text().split("## svm/top1")
    assert "paired difference" not in knn + svm
    assert ("| plain |" in knn, "| crops |" in knn, "| plain |" in svm, "| crops | 70.0 | – |" in svm) == (
        True,
        False,
        False,
        True,
    )


def test_a_failed_run_is_named_and_the_others_are_done(grid_file: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(ablation.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1))
    assert ablation.main([str(grid_file), "--out", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.count("failed: ") == 4


def test_jobs_run_at_the_same_time_and_share_the_cores(grid_file: Path, done, tmp_path: Path, monkeypatch):
    both, finish, threads = threading.Barrier(2, timeout=300), ablation.subprocess.run, []

    def run(command: list[str], *, env: dict[str, str], **rest: object) -> subprocess.CompletedProcess[bytes]:
        both.wait()
        threads.append(env["OMP_NUM_THREADS"])
        return finish(command, **rest)

    monkeypatch.setattr(ablation.subprocess, "run", run)
    monkeypatch.setattr(ablation.os, "cpu_count", lambda: 6)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert ablation.main([str(grid_file), "--out", str(tmp_path / "out"), "--jobs", "2"]) == 0
    assert (len(done), set(threads)) == (10, {"3"})


def test_an_interrupted_run_ends_the_command_and_starts_no_other(grid_file: Path, tmp_path: Path, monkeypatch, capsys):
    started = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        started.append(command)
        return subprocess.CompletedProcess(command, 130)

    monkeypatch.setattr(ablation.subprocess, "run", run)
    assert ablation.main([str(grid_file), "--out", str(tmp_path / "out")]) == 130
    assert len(started) == 1
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.usefixtures("signals_of_a_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_command_ends_the_run_that_it_has_started(
    grid_file: Path, tmp_path: Path, monkeypatch, number: signal.Signals
):
    ended: list[int] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        with subprocess.Popen(["sleep", "60"]) as run:
            os.kill(os.getpid(), number)
            ended.append(run.wait())
        return subprocess.CompletedProcess(command, 128 + signal.SIGTERM)

    monkeypatch.setattr(ablation.subprocess, "run", run)
    assert ablation.main([str(grid_file), "--out", str(tmp_path / "out")]) == 128 + number
    assert ended == [-signal.SIGTERM]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CELLS": {"x": "absent.yaml"}}, "CELLS names"),
        ({"CELLS": ["base.yaml"]}, "CELLS: expected 'name: FILE KEY VALUE ...'"),
        ({"CELLS": {"x": 3}}, "CELLS: x: expected FILE KEY VALUE ..., got 3"),
        ({"CELLS": {"x": " "}}, "CELLS: x: expected FILE KEY VALUE ..., got ' '"),
        ({"CHOOSE": GRID["CHOOSE"] | {"VALUES": "0.1"}}, "CHOOSE.VALUES: expected a list of values, got '0.1'"),
        ({"REPLICATES": None}, "REPLICATES: expected a list of texts ('- ...' for each), got None"),
        ({"REPLICATES": "RNG_SEED 0"}, "REPLICATES: expected a list of texts ('- ...' for each), got 'RNG_SEED 0'"),
        ({"REPLICATES": [{"RNG_SEED": 0}]}, "REPLICATES: expected a list of texts"),
        ({"MEASURES": "knn/top1"}, "MEASURES: expected a list of texts ('- ...' for each), got 'knn/top1'"),
        ({"MEASURES": []}, "MEASURES: expected a list of texts ('- ...' for each), got []"),
        ({"CONTRASTS": ["crops", "plain"]}, "CONTRASTS: expected 'name: [cell above, cell below]' for each, got"),
        ({"CONTRASTS": {"x": 3}}, "CONTRASTS: x: expected two of crops, plain, got 3"),
        ({"CONTRASTS": {"x": ["plain", "other"]}}, "CONTRASTS: x: expected two of crops, plain, got"),
        ({"CELL": []}, "expected a mapping with CELLS"),
    ],
)
def test_a_wrong_grid_is_refused_in_one_line(grid_file: Path, changes: dict[str, object], message: str, capsys):
    grid_file.write_text(yaml.safe_dump(GRID | changes))
    assert ablation.main([str(grid_file)]) == 2
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1


def test_intervals_are_those_of_scipy():
    values = [3.0, 5.0, 9.0, 4.0]
    found = estimate(values)
    expected = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    np.testing.assert_allclose((found.mean, found.low, found.high), (5.25, *expected))
    assert np.isnan(estimate([1.0]).low)
    assert not estimate([1.0]).excludes_zero
    assert paired({"a": 1.0}, {"b": 2.0}) is None


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.parent.name)
def test_every_run_of_a_grid_of_the_project_has_a_valid_configuration(path: Path, tmp_path: Path):
    grid = read_grid(path)
    assert len(grid.replicates) >= 3
    for run in (*grid.choosing(tmp_path, []), *grid.measuring(tmp_path, [], dict.fromkeys(grid.cells, "1e-3"))):
        cfg = configure(str(run.file), run.arguments[2:])
        assert str(cfg.OUTPUT_DIR) == str(run.folder)


def test_a_missing_grid_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no such file"):
        read_grid(tmp_path / "none.yaml")
