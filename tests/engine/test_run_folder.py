import errno
import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import tiny_cfg

from stica_pv.config import CfgNode
from stica_pv.engine.run_folder import LONGEST_SLUG, claim, default_output_dir, write_run_info
from stica_pv.errors import UsageError

FILE = "projects/stica/demo.yaml"


def named(*overrides: str) -> str:
    return default_output_dir(FILE, overrides)


def test_output_is_named_after_project_and_config():
    assert named() == "output/stica/demo"
    assert default_output_dir("demo.yaml", []) == f"output/{Path.cwd().name}/demo"
    assert default_output_dir("projects/brave/eval/svm.yaml", []) == "output/brave/eval/svm"


def test_overrides_that_change_the_result_are_part_of_the_name():
    assert named("SOLVER.BASE_LR", "0.1", "CROP.SPATIAL_SIZES", "[0.8, 0.5]") == (
        "output/stica/demo/SOLVER.BASE_LR=0.1,CROP.SPATIAL_SIZES=_0.8_0.5_".replace("_0.8_0.5_", "_0.8,_0.5_")
    )


def test_overrides_that_do_not_are_left_out():
    free = ["NUM_GPUS", "0", "DATA_LOADER.NUM_WORKERS", "2", "TRAIN.MAX_STEPS", "20", "LOG_PERIOD", "1"]
    assert named(*free, "TEST.ENABLE", "True") == "output/stica/demo"


def test_the_last_of_two_overrides_names_the_run():
    assert named("RNG_SEED", "1", "RNG_SEED", "2") == "output/stica/demo/RNG_SEED=2"


def test_the_data_folder_gives_its_name():
    assert named("DATA.PATH_TO_DATA_DIR", "some/where/clips/") == "output/stica/demo/data=clips"


def test_long_names_are_cut_and_stay_different():
    first, second = (Path(named("MODEL.ARCH", "x" * 200 + end)) for end in "ab")
    assert first != second
    assert first.parent == second.parent == Path("output/stica/demo")
    assert len(first.name) == LONGEST_SLUG + 9


def cfg(folder: Path, **overrides: Any) -> CfgNode:
    return tiny_cfg(Path("clips"), folder, **overrides)


def test_a_run_finds_its_folder_again(tmp_path: Path):
    folder = tmp_path / "a" / "b"
    assert claim(cfg(folder)) == folder
    assert claim(cfg(folder, DATA_LOADER__NUM_WORKERS=3, TRAIN__MAX_STEPS=4, TEST__ENABLE=True)) == folder


def test_another_run_is_refused_by_the_keys_that_differ(tmp_path: Path):
    claim(cfg(tmp_path))
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    before = (tmp_path / "config.yaml").read_text()
    with pytest.raises(UsageError, match=r"holds another run \(2 keys differ: RNG_SEED 0 -> 5, SOLVER.BASE_LR 0.05"):
        claim(cfg(tmp_path, RNG_SEED=5, SOLVER__BASE_LR=0.1))
    assert (tmp_path / "config.yaml").read_text() == before


def test_a_run_that_ended_before_its_first_numbers_may_begin_with_other_keys(tmp_path: Path):
    claim(cfg(tmp_path))
    claim(cfg(tmp_path, RNG_SEED=5))
    assert "RNG_SEED: 5" in (tmp_path / "config.yaml").read_text()


def test_an_evaluation_leaves_the_configuration_of_the_training_alone(tmp_path: Path):
    claim(cfg(tmp_path))
    before = (tmp_path / "config.yaml").read_text()
    claim(cfg(tmp_path, TRAIN__ENABLE=False, TEST__ENABLE=True, SOLVER__BASE_LR=9))
    assert (tmp_path / "config.yaml").read_text() == before


@pytest.mark.parametrize("content", ["- a\n- b\n", "a: [", "just text", "lr: 0.1\n", ""])
def test_a_foreign_config_is_not_taken_for_ours(tmp_path: Path, content: str):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(UsageError, match="not written by this package"):
        claim(cfg(tmp_path))


def test_a_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"OUTPUT_DIR .*file/run cannot be written"):
        claim(cfg(tmp_path / "file" / "run"))


def test_facts_say_what_the_run_derived_and_where_it_ran(tmp_path: Path):
    write_run_info(tmp_path, {"negatives": 7})
    assert json.loads((tmp_path / "run.json").read_text()) == {"negatives": 7}
    environment = (tmp_path / "env.txt").read_text()
    assert all(f"{name}: " in environment for name in ("command", "host", "python", "gpus", "torch", "av"))


def test_an_evaluation_says_where_it_ran_and_leaves_what_a_training_said(tmp_path: Path):
    claim(cfg(tmp_path, TRAIN__ENABLE=False))
    lines = dict(line.split(": ", 1) for line in (tmp_path / "env.txt").read_text().splitlines())
    assert lines["memory"].endswith(" GiB")
    assert all(lines[name] for name in ("cpu", "cuda", "torch"))
    (tmp_path / "env.txt").write_text("of the training")
    claim(cfg(tmp_path, TRAIN__ENABLE=False))
    assert (tmp_path / "env.txt").read_text() == "of the training"


@pytest.mark.parametrize("name", ["run.json", "env.txt"])
def test_a_full_disk_is_reported_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    original = Path.write_text

    def full(path: Path, text: str, **options: Any) -> int:
        if path.name == f"{name}.partial":
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(path, text, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match=rf"cannot write .*{name}: No space left on device; .* free disk space"):
        write_run_info(tmp_path, {"negatives": 7})


def test_evaluations_of_other_checkpoints_lie_in_other_folders():
    folders = [
        default_output_dir("projects/x/a.yaml", ["TEST.CHECKPOINT_FILE_PATH", path]) for path in ("r/1.pyth", "2")
    ]
    assert folders == ["output/x/a/checkpoint=r_1.pyth", "output/x/a/checkpoint=2"]
