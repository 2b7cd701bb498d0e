"""How the command line says no: in one line that names the mistake, with exit code 2, and without a trace."""

from pathlib import Path
from typing import Any

import pytest
from saying import Say, assert_refused, in_a_process
from tiny_clips import make_clip
from tiny_runs import arguments

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
    "crop larger than the map": ({"CROP__SPATIAL_SIZES": [1.5, 0.5]}, ("CROP.SPATIAL_SIZES", "1.5", "at most 1")),
    "small crops without large ones": ({"CROP__NUM_LARGE_SPATIAL": 0}, ("CROP.NUM_LARGE_SPATIAL",)),
    "weights that are not there": ({"TRAIN__CHECKPOINT_FILE_PATH": "a.pyth"}, ("a.pyth", "no such file")),
    "evaluation without checkpoint": ({"TRAIN__ENABLE": False, "TEST__ENABLE": True}, ("there is no checkpoint",)),
    "no processes": ({"CPU_PROCESSES": 0}, ("CPU_PROCESSES: got 0", "at least 1")),
    "machines without a rendezvous": ({"NUM_SHARDS": 2}, ("--init_method",)),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_done_is_said_in_one_line_and_leaves_nothing(
    case: str, say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    overrides, parts = WRONG[case]
    given = {"DATA__PATH_TO_DATA_DIR": clips_folder, "OUTPUT_DIR": tmp_path / "run", **overrides}
    assert_refused(say("--cfg", cfg_file, *arguments(**given)), *parts)
    assert not (tmp_path / "run").exists()


def test_odd_overrides_are_refused(say: Say, cfg_file: Path):
    assert_refused(say("--cfg", cfg_file, "TRAIN.MAX_STEPS"), "pairs KEY VALUE", "'TRAIN.MAX_STEPS'")


@pytest.mark.slow
def test_a_missing_config_is_refused_as_a_process_too():
    assert_refused(in_a_process("--cfg", "projects/stica/absent.yaml"), "projects/stica/absent.yaml", "no such file")


@pytest.mark.parametrize("text", ["- a\n", "TRAIN: [\n", "\0"], ids=repr)
def test_a_config_that_is_none_is_refused(say: Say, tmp_path: Path, text: str):
    (tmp_path / "a.yaml").write_text(text)
    assert_refused(say("--cfg", tmp_path / "a.yaml"), "a.yaml")


def test_an_empty_folder_is_refused(say: Say, cfg_file: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for dataset, part in (("folder", "no media files"), ("class_folders", "no class folders"), ("csv", "train.csv")):
        answer = say("--cfg", cfg_file, *arguments(tmp_path / "empty", tmp_path / "run", TRAIN__DATASET=dataset))
        assert_refused(answer, part)
    assert not (tmp_path / "run").exists()


def test_a_list_with_missing_videos_is_refused(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    listed = (clips_folder / "train.csv").read_text() + "gone-1.mp4 0\ngone-2.mp4 1\n"
    (tmp_path / "train.csv").write_text(listed)
    answer = say("--cfg", cfg_file, *arguments(tmp_path, tmp_path / "run", DATA__PATH_PREFIX=clips_folder))
    assert_refused(answer, "2 of 14 videos", "gone-1.mp4", "DATA.PATH_PREFIX")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def mute_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mute")
    for number in range(4):
        make_clip(folder / f"{number}.mp4", number, audio=False)
    return folder


@pytest.mark.slow
def test_no_audio_anywhere_is_refused_with_several_processes_too(cfg_file: Path, mute_folder: Path, tmp_path: Path):
    given = arguments(mute_folder, tmp_path / "run", TRAIN__DATASET="folder", CPU_PROCESSES=2)
    assert_refused(in_a_process("--cfg", cfg_file, *given), "none of the 4 files", "no audio stream (4)")


def test_long_clips_of_short_videos_are_refused_and_a_fitting_recipe_may_then_use_the_folder(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    command = ["--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=1)]
    long = arguments(DATA__NUM_FRAMES=60, DATA__TARGET_FPS=30)
    assert_refused(say(*command, *long), "none of the 12 files", "shorter than 2.00 s (12)", "DATA.NUM_FRAMES")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    assert say(*command)[0] == 0


@pytest.mark.slow
def test_a_batch_that_does_not_divide_is_refused(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    given = arguments(clips_folder, tmp_path / "run", CPU_PROCESSES=2, TRAIN__BATCH_SIZE=3)
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
        ({"DATA__FRAME_CHOICE": "next"}, ("DATA.FRAME_CHOICE", "nearest, previous, following")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_of_the_training_that_cannot_be_are_refused_and_may_be_put_right_in_the_same_folder(
    overrides: dict[str, Any], parts: tuple[str, ...], say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    command = ["--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run", TRAIN__MAX_STEPS=1)]
    assert_refused(say(*command, *arguments(**overrides)), *parts)
    assert say(*command)[0] == 0


def test_a_batch_larger_than_the_list_is_refused(say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path):
    answer = say("--cfg", cfg_file, *arguments(clips_folder, tmp_path / "run", TRAIN__BATCH_SIZE=64))
    assert_refused(answer, "TRAIN.BATCH_SIZE 64", "12 usable videos")


def test_an_output_folder_that_cannot_be_written_is_refused(
    say: Say, cfg_file: Path, clips_folder: Path, tmp_path: Path
):
    (tmp_path / "file").touch()
    assert_refused(say("--cfg", cfg_file, *arguments(clips_folder, tmp_path / "file" / "run")), "OUTPUT_DIR")
