"""The command line as a user meets it: what it prints, where it writes, and how it says no."""

import importlib.util
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from tiny_clips import make_clip
from tiny_runs import REPOSITORY, losses, metrics_text, tree, words, write_tiny

from stica_pv.registry import ALL

TOOL = REPOSITORY / "tools" / "run_net.py"
RECIPES = sorted((REPOSITORY / "projects").rglob("*.yaml"))


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_net_of_the_tests", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    log = logging.getLogger("stica_pv")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture
def cfg_file(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "tiny.yaml")


Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(tool: ModuleType, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs the command line in this process; returns exit code, stdout and stderr."""

    def say(*argv: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = tool.main([str(word) for word in argv])
        return (code, *capsys.readouterr())

    return say


def in_a_process(*argv: object) -> tuple[int, str, str]:
    done = subprocess.run([sys.executable, str(TOOL), *map(str, argv)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def assert_refused(answer: tuple[int, str, str], *parts: str) -> None:
    code, _, err = answer
    assert code == 2, answer
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    assert err.endswith("\n")
    assert [part for part in parts if part not in err] == [], err


# What a user may get wrong: overrides, and what the one line must name. None of them leaves a folder behind.
WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown key": ({"SOLVER__BASELR": 1}, ("SOLVER.BASELR", "did you mean SOLVER.BASE_LR?")),
    "wrong type": ({"TRAIN__BATCH_SIZE": "four"}, ("TRAIN.BATCH_SIZE", "expected int", "'four'")),
    "wrong choice": ({"DATA__MISSING_AUDIO": "drop it"}, ("DATA.MISSING_AUDIO", "drop, silence")),
    "unknown backbone": ({"MODEL__ARCH": "r2plus1d_81"}, ("r2plus1d_81", "did you mean r2plus1d_18?")),
    "unknown task": ({"TASK": "av_contrast"}, ("av_contrast", "did you mean av_contrastive?")),
    "unknown data source": ({"TRAIN__DATASET": "cvs"}, ("cvs", "csv")),
    "no data named": ({"DATA__PATH_TO_DATA_DIR": ""}, ("DATA.PATH_TO_DATA_DIR is not set",)),
    "missing folder": ({"DATA__PATH_TO_DATA_DIR": "absent"}, ("there is no list absent",)),
    "missing split": ({"TRAIN__SPLIT": "val"}, ("val.csv",)),
    "more GPUs than present": ({"NUM_GPUS": 999}, ("NUM_GPUS 999", "this machine has")),
    "global batch of 1": ({"TRAIN__BATCH_SIZE": 1}, ("TRAIN.BATCH_SIZE: got 1", "at least 2")),
    "crop larger than the map": ({"CROP__SPACE_SIZES": [1.5, 0.5]}, ("CROP.SPACE_SIZES", "1.5", "at most 1")),
    "small crops without large ones": ({"CROP__SPACE_LARGE": 0}, ("CROP.SPACE_LARGE",)),
    "weights that are not there": ({"TRAIN__CHECKPOINT_FILE_PATH": "a.pyth"}, ("a.pyth", "no such file")),
    "evaluation without checkpoint": ({"TRAIN__ENABLE": False, "TEST__ENABLE": True}, ("there is no checkpoint",)),
    "no processes": ({"CPU_PROCESSES": 0}, ("CPU_PROCESSES: got 0", "at least 1")),
    "machines without meeting point": ({"NUM_SHARDS": 2}, ("--init_method",)),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_said_in_one_line_and_leaves_nothing(
    case: str, say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    overrides, parts = WRONG[case]
    given = {"DATA__PATH_TO_DATA_DIR": clips_folder, "OUTPUT_DIR": tmp_path / "run", **overrides}
    assert_refused(say("--cfg", cfg_file, *words(**given)), *parts)
    assert not (tmp_path / "run").exists()


def test_odd_overrides_are_refused(say: Say, cfg_file: Path):
    assert_refused(say("--cfg", cfg_file, "TRAIN.MAX_STEPS"), "pairs KEY VALUE", "'TRAIN.MAX_STEPS'")


def test_a_missing_config_is_refused_as_a_process_too():
    assert_refused(in_a_process("--cfg", "projects/stica/absent.yaml"), "projects/stica/absent.yaml", "no such file")


@pytest.mark.parametrize("text", ["- a\n", "TRAIN: [\n", "\0"], ids=repr)
def test_a_config_that_is_none_is_refused(say: Say, tmp_path: Path, text: str):
    (tmp_path / "a.yaml").write_text(text)
    assert_refused(say("--cfg", tmp_path / "a.yaml"), "a.yaml")


def test_an_empty_folder_is_refused(say: Say, cfg_file: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for dataset, part in (("folder", "no media files"), ("class_folders", "no class folders"), ("csv", "train.csv")):
        answer = say("--cfg", cfg_file, *words(tmp_path / "empty", tmp_path / "run", TRAIN__DATASET=dataset))
        assert_refused(answer, part)
    assert not (tmp_path / "run").exists()


def test_a_list_with_missing_videos_is_refused(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    listed = (clips_folder / "train.csv").read_text() + "gone-1.mp4 0\ngone-2.mp4 1\n"
    (tmp_path / "train.csv").write_text(listed)
    answer = say("--cfg", cfg_file, *words(tmp_path, tmp_path / "run", DATA__PATH_PREFIX=clips_folder))
    assert_refused(answer, "2 of 14 videos", "gone-1.mp4", "DATA.PATH_PREFIX")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def mute_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mute")
    for number in range(4):
        make_clip(folder / f"{number}.mp4", number, sound=False)
    return folder


def test_no_audio_anywhere_is_refused_with_several_processes_too(cfg_file: Path, mute_folder: Path, tmp_path: Path):
    given = words(mute_folder, tmp_path / "run", TRAIN__DATASET="folder", CPU_PROCESSES=2)
    assert_refused(in_a_process("--cfg", cfg_file, *given), "none of the 4 files", "no audio stream (4)")


def test_long_clips_of_short_videos_are_refused_and_a_fitting_recipe_may_then_use_the_folder(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    command = ["--cfg", cfg_file, *words(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=1)]
    long = words(DATA__NUM_FRAMES=60, DATA__TARGET_FPS=30)
    assert_refused(say(*command, *long), "none of the 12 files", "shorter than 2.00 s (12)", "DATA.NUM_FRAMES")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert say(*command)[0] == 0


def test_a_batch_that_does_not_divide_is_refused(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    given = words(clips_folder, tmp_path / "run", CPU_PROCESSES=2, TRAIN__BATCH_SIZE=3)
    assert_refused(say("--cfg", cfg_file, *given), "TRAIN.BATCH_SIZE 3", "2 processes: try 2")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ({"TRAIN__AMP_DTYPE": "bf61"}, ("TRAIN.AMP_DTYPE", "did you mean bf16?")),
        ({"SOLVER__OPTIMIZING_METHOD": "adam"}, ("SOLVER.OPTIMIZING_METHOD", "sgd, adamw")),
        ({"SOLVER__NESTEROV": True, "SOLVER__MOMENTUM": 0.0}, ("SOLVER", "Nesterov")),
        ({"SOLVER__LR_POLICY": "cosin"}, ("SOLVER.LR_POLICY", "did you mean cosine?")),
        ({"LOG_PERIOD": 0}, ("LOG_PERIOD", "at least 1")),
        ({"DATA_LOADER__NUM_WORKERS": -1}, ("DATA_LOADER.NUM_WORKERS",)),
        ({"DATA__FRAME_CHOICE": "next"}, ("DATA.FRAME_CHOICE", "nearest, previous")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_of_the_training_that_cannot_be_are_refused_and_may_be_put_right_in_the_same_folder(
    overrides: dict[str, Any], parts: tuple[str, ...], say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    command = ["--cfg", cfg_file, *words(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=1)]
    assert_refused(say(*command, *words(**overrides)), *parts)
    assert say(*command)[0] == 0


def test_a_batch_larger_than_the_list_is_refused(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    answer = say("--cfg", cfg_file, *words(clips_folder, tmp_path / "run", TRAIN__BATCH_SIZE=64))
    assert_refused(answer, "TRAIN.BATCH_SIZE 64", "12 usable videos")


def test_an_output_folder_that_cannot_be_written_is_refused(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    (tmp_path / "file").touch()
    assert_refused(say("--cfg", cfg_file, *words(clips_folder, tmp_path / "file" / "run")), "OUTPUT_DIR")


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x03\x04" + bytes(99)], ids=repr)
def test_a_corrupt_checkpoint_is_refused(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path, content: bytes):
    (tmp_path / "bad.pyth").write_bytes(content)
    for key in ("TRAIN__CHECKPOINT_FILE_PATH", "TEST__CHECKPOINT_FILE_PATH"):
        given = {key: tmp_path / "bad.pyth", "TRAIN__ENABLE": key.startswith("TRAIN"), "TEST__ENABLE": True}
        answer = say("--cfg", cfg_file, *words(clips_folder, tmp_path / "run", **given))
        assert_refused(answer, "bad.pyth", "cannot be read")
        assert not (tmp_path / "run").exists()


def test_corrupt_checkpoints_of_a_run_are_refused_and_its_numbers_kept(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    command = ["--cfg", cfg_file, *words(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=2)]
    assert say(*command)[0] == 0
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.write_bytes(b"rubbish")
    before = {name: content for name, content in tree(tmp_path / "run").items() if name != "stdout.log"}
    assert_refused(say(*command), "all 1 checkpoints", "move them away")
    assert before.items() <= tree(tmp_path / "run").items()


def test_another_run_in_a_used_folder_is_refused_and_nothing_is_touched(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    command = ["--cfg", cfg_file, *words(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=1)]
    assert say(*command)[0] == 0
    (log := tmp_path / "run" / "stdout.log").unlink()
    before = tree(tmp_path / "run")
    assert_refused(say(*command, "RNG_SEED", 3), "holds another run", "RNG_SEED 0 -> 3")
    log.unlink()  # it says who tried
    assert tree(tmp_path / "run") == before


def test_a_diverging_run_fails_with_code_1_and_one_line(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    diverging = words(CONTRASTIVE__T=1e-38)
    code, _, err = say("--cfg", cfg_file, *words(clips_folder, tmp_path / "run"), *diverging)
    assert code == 1
    assert err.startswith("failed: ")
    assert "not finite" in err
    assert err.count("\n") == 1


def test_a_run_trains_evaluates_and_repeats_its_results(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    command = ["--cfg", cfg_file, *words(clips_folder, tmp_path / "run", TEST__ENABLE=True)]
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
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    assert say("--cfg", cfg_file, *words(clips_folder, tmp_path / "run"))[0] == 0
    checkpoint = next((tmp_path / "run" / "checkpoints").glob("*6.pyth"))
    alone = {"TRAIN__ENABLE": False, "TEST__ENABLE": True, "TEST__CHECKPOINT_FILE_PATH": checkpoint}
    (other := tmp_path / "other.yaml").write_text(f"_BASE_: {cfg_file.name}\nMODEL: {{WIDTH: 8}}\n")
    before = tree(tmp_path / "run")
    code, out, err = say("--cfg", other, *words(clips_folder, tmp_path / "other", **alone))
    assert (code, err) == (0, "")
    assert "R@1" in out
    assert (tmp_path / "other" / "results.json").is_file()
    assert tree(tmp_path / "run") == before


HELP = """
import runpy, sys
sys.argv = [{tool!r}, "--help"]
try:
    runpy.run_path({tool!r}, run_name="__main__")
finally:
    assert not {{"torch", "av", "numpy", "fvcore"}} & set(sys.modules)
"""


def test_help_is_quick_and_loads_nothing_heavy():
    begin = time.monotonic()
    command = [sys.executable, "-c", HELP.format(tool=str(TOOL))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begin < 5
    assert all(word in done.stdout for word in ("examples:", "--cfg", "--opts", "--print_cfg", "--list"))


def test_without_a_config_the_usage_is_shown(tool: ModuleType, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        tool.main([])
    assert end.value.code == 2
    assert "--cfg FILE is needed" in capsys.readouterr().err


def printed(say: Say, *argv: object) -> dict[str, Any]:
    code, out, err = say(*argv, "--print_cfg")
    assert (code, err) == (0, "")
    return yaml.safe_load(out)


def test_the_printed_configuration_is_one_that_prints_itself(say: Say, cfg_file: Path, tmp_path: Path):
    _, first, _ = say("--cfg", cfg_file, "SOLVER.BASE_LR", "1e-3", "SOLVER.STEPS", "[0, 5]", "--print_cfg")
    (tmp_path / "again.yaml").write_text(first)
    assert say("--cfg", tmp_path / "again.yaml", "--print_cfg") == (0, first, "")


def test_overrides_are_heard_wherever_they_stand(say: Say, cfg_file: Path):
    found = printed(say, "--cfg", cfg_file, "RNG_SEED", 1, "LOG_PERIOD", 2, "--opts", "RNG_SEED", 3, "NUM_SHARDS", 4)
    assert (found["RNG_SEED"], found["LOG_PERIOD"], found["NUM_SHARDS"]) == (3, 2, 4)
    assert printed(say, "RNG_SEED", 7, "--cfg", cfg_file)["RNG_SEED"] == 7
    assert printed(say, "--cfg", cfg_file, "--shard_id", 1, "--num_shards", 3)["NUM_SHARDS"] == 3


def test_values_may_be_negative_lists_or_blank(say: Say, cfg_file: Path):
    given = ["NUM_GPUS", "-1", "AUDIO.MEAN", "-1e-3", "SOLVER.STEPS", "[0, 3]", "DATA.PATH_LABEL_SEPARATOR", "\t"]
    found = printed(say, "--cfg", cfg_file, *given, "--opts", "DATA.MEAN", "[0, 0, -.5]")
    assert (found["NUM_GPUS"], found["AUDIO"]["MEAN"], found["DATA"]["MEAN"]) == (-1, -1e-3, [0, 0, -0.5])
    assert (found["SOLVER"]["STEPS"], found["DATA"]["PATH_LABEL_SEPARATOR"]) == ([0, 3], "\t")


@pytest.mark.parametrize("kind", list(ALL))
def test_known_names_are_listed(say: Say, kind: str):
    code, out, err = say("--list", kind)
    assert (code, err) == (0, "")
    assert set(out.split()) == set(ALL[kind].names()) != set()


def test_any_working_directory_will_do(say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = printed(say, "--cfg", "projects/stica/k400.yaml", "SOLVER.BASE_LR", 0.02, "NUM_GPUS", 0)
    assert found["OUTPUT_DIR"] == "output/stica/k400/SOLVER.BASE_LR=0.02"
    shutil.copy(REPOSITORY / "projects" / "stica" / "k400.yaml", tmp_path / "mine.yaml")
    assert printed(say, "--cfg", "mine.yaml")["OUTPUT_DIR"] == f"output/{tmp_path.name}/mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.yaml"]


def test_several_configs_run_one_after_the_other(
    say: Say, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    files = [write_tiny(tmp_path / name) for name in ("a.yaml", "b.yml")]
    given = words(DATA__PATH_TO_DATA_DIR=clips_folder, TRAIN__MAX_STEPS=1)
    code, _, err = say("--cfg", *files, *given)
    assert (code, err) == (0, "")
    folders = [tmp_path / "output" / tmp_path.name / name / f"data={clips_folder.name}" for name in "ab"]
    assert len(losses(folders[0])) == len(losses(folders[1])) == 1


def test_a_single_process_of_torchrun_is_an_ordinary_run(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    assert say("--cfg", cfg_file, *words(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=1))[0] == 0
    assert len(losses(tmp_path / "run")) == 1


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads_and_its_task_builds(recipe: Path, tool: ModuleType):
    from stica_pv.create import create_task

    (cfg,) = tool.resolve_all(tool.parse(["--cfg", str(recipe)]))
    task = create_task(cfg)
    assert sum(p.numel() for p in task.parameters()) > 1e5
    assert "video" in task.encoders()
    if cfg.TASK == "av_contrastive":  # one window, as long as its pictures
        assert task.views().min_seconds == pytest.approx(cfg.DATA.NUM_FRAMES / cfg.DATA.TARGET_FPS)
        assert {"video", "audio"} == task.encoders().keys()
    assert all(isinstance(p, torch.nn.Parameter) for group in task.parameter_groups() for p in group.parameters)
