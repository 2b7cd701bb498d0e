"""The arguments of the command line: help, overrides, lists, the printed configuration."""

import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from saying import TOOL, Say
from tiny_runs import REPOSITORY

from stica_pv.registry import ALL

HELP = """
import runpy, sys
sys.argv = [{tool!r}, "--help"]
try:
    runpy.run_path({tool!r}, run_name="__main__")
finally:
    assert not {{"torch", "av", "numpy", "fvcore"}} & set(sys.modules)
"""


def children_s() -> float:
    """Processor time of the processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_quick_and_loads_nothing_heavy():
    begin = children_s()
    command = [sys.executable, "-c", HELP.format(tool=str(TOOL))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert children_s() - begin < 5
    assert all(argument in done.stdout for argument in ("examples:", "--cfg", "--opts", "--print_cfg", "--list"))


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
    assert found["OUTPUT_DIR"] == "output/stica/k400/base_lr-0.02"
    shutil.copy(REPOSITORY / "projects" / "stica" / "k400.yaml", tmp_path / "mine.yaml")
    assert printed(say, "--cfg", "mine.yaml")["OUTPUT_DIR"] == f"output/{tmp_path.name}/mine"
    assert list(tmp_path.iterdir()) == [tmp_path / "mine.yaml"]
