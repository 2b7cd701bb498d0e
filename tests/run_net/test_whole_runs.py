"""Runs from the command line to their numbers: training, evaluation, several configurations."""

from pathlib import Path

import pytest
from saying import Say
from tiny_runs import arguments, losses, metrics_text, tree, write_tiny

from stica_pv.engine import load_checkpoint
from stica_pv.evaluation import build_models


def test_a_run_trains_evaluates_and_repeats_its_results(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    command = ["--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run", TEST__ENABLE=True)]
    code, out, err = say(*command)
    assert (code, err) == (0, "")
    assert "step 6/6" in out
    numbers = out[out.index("score in %") :].splitlines()[:4]
    trained = metrics_text(tmp_path / "run")
    code, out, err = say(*command)
    assert (code, err) == (0, "")
    assert "step 1/6" not in out
    assert out[out.index("score in %") :].splitlines()[:4] == numbers
    assert metrics_text(tmp_path / "run") == trained
    assert "score in %" in (tmp_path / "run" / "stdout.log").read_text()


def test_an_evaluation_alone_uses_the_named_checkpoint_and_its_networks(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    loaded = []
    monkeypatch.setattr(build_models, "load_checkpoint", lambda path: loaded.append(path) or load_checkpoint(path))
    assert say("--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run"))[0] == 0
    checkpoint = next((tmp_path / "run" / "checkpoints").glob("*6.pyth"))
    alone = {"TRAIN__ENABLE": False, "TEST__ENABLE": True, "TEST__CHECKPOINT_FILE_PATH": checkpoint}
    (other := tmp_path / "other.yaml").write_text(f"_BASE_: {cfg_file.name}\nMODEL: {{WIDTH: 8}}\n")
    before = tree(tmp_path / "run")
    code, out, err = say("--cfg", other, *arguments(clips_folder, tmp_path / "other", **alone))
    assert (code, err) == (0, "")
    assert "R@1" in out
    assert (tmp_path / "other" / "results.json").is_file()
    assert tree(tmp_path / "run") == before
    assert loaded == [str(checkpoint)]  # once


def test_several_configs_run_one_after_the_other(
    say: Say, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    files = [write_tiny(tmp_path / name) for name in ("a.yaml", "b.yml")]
    given = arguments(DATA__PATH_TO_DATA_DIR=clips_folder, TRAIN__MAX_STEPS=1)
    code, _, err = say("--cfg", *files, *given)
    assert (code, err) == (0, "")
    folders = [tmp_path / "output" / tmp_path.name / name / f"data-{clips_folder.name}" for name in "ab"]
    assert len(losses(folders[0])) == len(losses(folders[1])) == 1


def test_a_single_process_of_torchrun_is_an_ordinary_run(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert say("--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=1))[0] == 0
    assert len(losses(tmp_path / "run")) == 1
