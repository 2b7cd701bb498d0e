"""Default folders of runs: readable, safe in a shell, the same for the same settings and others for others."""

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from stica_pv.config.declared import declared_keys
from stica_pv.engine.run_name import LONGEST, SHORT_SECTIONS, default_output_dir
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure
from stica_pv.recipe_files import find_file

FILE = "projects/stica/demo.yaml"


def named(*overrides: str) -> str:
    return default_output_dir(FILE, overrides)


def test_output_is_named_after_project_and_config():
    assert named() == "output/stica/demo"
    assert default_output_dir("demo.yaml", []) == f"output/{Path.cwd().name}/demo"
    assert default_output_dir("projects/brave/eval/svm.yaml", []) == "output/brave/eval/svm"
    assert default_output_dir(find_file("brave/eval/svm_esc50"), []) == "output/brave/eval/svm_esc50"


def test_overrides_that_change_the_result_are_part_of_the_name():
    assert named("TRAIN.BATCH_SIZE", "4", "DATA.NUM_FRAMES", "8") == "output/stica/demo/batch_size-4__num_frames-8"
    assert named("CROP.NUM_LARGE_SPATIAL", "1") == "output/stica/demo/crop.num_large_spatial-1"


def test_overrides_that_do_not_are_left_out():
    free = ["NUM_GPUS", "0", "DATA_LOADER.NUM_WORKERS", "2", "TRAIN.MAX_STEPS", "20", "LOG_PERIOD", "1"]
    assert named(*free, "TEST.ENABLE", "True") == "output/stica/demo"


def test_the_last_of_two_overrides_names_the_run():
    assert named("RNG_SEED", "1", "RNG_SEED", "2") == "output/stica/demo/rng_seed-2"


def test_the_order_of_overrides_does_not_change_the_name():
    assert named("RNG_SEED", "1", "SOLVER.BASE_LR", "0.1") == named("SOLVER.BASE_LR", "0.1", "RNG_SEED", "1")


def test_the_data_folder_gives_its_name():
    assert named("DATA.PATH_TO_DATA_DIR", "some/where/clips/") == "output/stica/demo/data-clips"


def test_no_two_keys_have_one_name():
    keys = Counter(
        next((key.removeprefix(part) for part in SHORT_SECTIONS if key.startswith(part)), key)
        for key in declared_keys()
    )
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("[0.8, 0.5]", "[0.8,0.5]"),
        ("a b", "a_b"),
        ("a__rng_seed-1", "a_rng_seed-1"),
        ("$(rm)", "`rm`"),
        ("x" * 200 + "a", "x" * 200 + "b"),
        ("", "_"),
    ],
)
def test_other_values_have_other_names_that_need_no_quotes(first: str, second: str):
    names = [Path(named("MODEL.ARCH", value)) for value in (first, second)]
    assert names[0] != names[1]
    for name in names:
        assert name.parent == Path("output/stica/demo")
        assert len(name.name) <= LONGEST
        assert shlex.quote(str(name)) == str(name)
        assert not re.search("[,=]", name.name)


def test_many_overrides_are_cut_between_settings_and_stay_different():
    many = ["TRAIN.BATCH_SIZE", "4", "DATA.NUM_FRAMES", "8", "SOLVER.BASE_LR", "1e-3", "SOLVER.MAX_EPOCH", "9"]
    first, second = (Path(named(*many, "RNG_SEED", seed)) for seed in "12")
    assert re.fullmatch(r"base_lr-1e-3__batch_size-4__max_epoch-9__[0-9a-f]{8}", first.name)
    assert first != second


def test_evaluations_of_other_checkpoints_are_in_other_folders():
    paths = ("output/stica/demo/checkpoints/step_00000256.pyth", "other/demo/checkpoints/step_00000256.pyth")
    names = [Path(named("TEST.CHECKPOINT_FILE_PATH", path)).name for path in paths]
    assert all(re.fullmatch(r"checkpoint-demo_step_00000256__[0-9a-f]{8}", name) for name in names)
    assert names[0] != names[1]


def test_a_name_of_the_user_replaces_config_and_overrides():
    assert configure("stica/demo", ["RNG_SEED", "1"], name="first").OUTPUT_DIR == "output/stica/first"
    assert configure("stica/eval/knn_ucf6", [], name="first").OUTPUT_DIR == "output/stica/eval/first"


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "-x", "a=1"])
def test_a_name_that_is_no_plain_folder_is_refused(name: str):
    with pytest.raises(UsageError, match="--name .*: expected letters, digits"):
        configure("stica/demo", [], name=name)


def test_a_name_goes_not_with_an_output_folder():
    with pytest.raises(UsageError, match="--name a cannot be combined with OUTPUT_DIR x: remove one of them"):
        configure("stica/demo", ["OUTPUT_DIR", "x"], name="a")
