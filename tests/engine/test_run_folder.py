import errno
import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import tiny_cfg

from stica_pv.config import CfgNode
from stica_pv.engine.run_folder import claim, write_run_info
from stica_pv.errors import UsageError


def cfg(folder: Path, **overrides: Any) -> CfgNode:
    return tiny_cfg(Path("clips"), folder, **overrides)


def test_a_run_finds_its_folder_again(tmp_path: Path):
    folder = tmp_path / "a" / "b"
    assert claim(cfg(folder)) == folder
    assert claim(cfg(folder, DATA_LOADER__NUM_WORKERS=3, TRAIN__MAX_STEPS=4, TEST__ENABLE=True)) == folder
    (folder / "metrics.jsonl").write_text('{"step": 1}\n')
    assert claim(cfg(folder, CUSTOM_IMPORTS="['own_tracker']")) == folder


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


def test_a_run_under_its_earlier_name_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for name, change in (("DATA.NUM_FRAMES=4", {}), ("DATA.NUM_FRAMES=8", {"DATA__NUM_FRAMES": 8})):
        claim(cfg(tmp_path / name, **change))
        (tmp_path / name / "metrics.jsonl").write_text('{"step": 1}\n')
    claim(cfg(tmp_path / "num_frames-4"))
    (record,) = caplog.records
    assert f"OUTPUT_DIR {tmp_path / 'DATA.NUM_FRAMES=4'} continues it" in record.getMessage()
    caplog.clear()
    claim(cfg(tmp_path / "num_frames-4"))
    claim(cfg(tmp_path / "num_frames-9", DATA__NUM_FRAMES=9))
    assert caplog.records == []
