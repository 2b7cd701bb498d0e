"""Runs of the example methods: they learn, and a checkpoint of theirs is used elsewhere with one flag."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import REPOSITORY, TINY

METHODS = REPOSITORY / "examples" / "methods"
LOAD = """
import sys, torch
from stica_pv import load_encoder
encoder = load_encoder(sys.argv[1], "audio", imports=["vicreg"])
print(encoder.sample_rate, encoder(torch.zeros(2, 4000)).shape[0])
"""


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Starts Python in `folder`, with the example methods on its path."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(METHODS), str(REPOSITORY)])}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=1500)


def succeed(folder: Path, *arguments: str) -> str:
    """Starts a command of the program, which must end with 0, and returns its output."""
    done = start(folder, "-m", "stica_pv", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tiny(clips: Path, output: Path) -> list[str]:
    """Returns the settings of a run of a second."""
    settings = {f"{part}.{key}": value for part, keys in TINY.items() for key, value in keys.items()}
    settings |= {"DATA.PATH_TO_DATA_DIR": clips, "OUTPUT_DIR": output, "SYNTHETIC.GENERATE": False}
    settings |= {"REPORT.ENABLE": False, "TRAIN.MAX_STEPS": 2, "TEST.EVALUATIONS": ["retrieval"]}
    return [str(part) for pair in settings.items() for part in pair]


def test_the_commands_of_the_examples_find_their_modules():
    assert (METHODS.parent / "README.md").read_text().count("\nstica-pv") == 0
    commands = [path.read_text().splitlines()[1] for path in sorted(METHODS.glob("*.yaml"))]
    parts = [command.removeprefix("# Command: ").removesuffix(" (in examples/methods)").split() for command in commands]
    assert [part[:3] for part in parts] == [["PYTHONPATH=.", "stica-pv", "train"]] * 3
    # -P: the console program does not have the working directory on its path either
    command = [sys.executable, "-P", "-m", "stica_pv", *parts[-1][2:], "--print_cfg"]
    env = {**os.environ, "PYTHONPATH": "."}
    done = subprocess.run(command, cwd=METHODS, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "TASK: vicreg" in done.stdout


@pytest.mark.slow
def test_a_checkpoint_of_vicreg_is_evaluated_exported_and_loaded_with_one_flag(
    clips_folder: Path, tmp_path: Path
) -> None:
    for name in ("safetensors", "onnx", "onnxruntime"):
        pytest.importorskip(name, reason="needs the extra `export`")
    run = tmp_path / "run"
    succeed(tmp_path, "train", "--cfg", str(METHODS / "vicreg.yaml"), *tiny(clips_folder, run), "TEST.ENABLE", "False")
    checkpoint = str(run / "checkpoints" / "step_00000002.pyth")
    evaluate = ["train", "--cfg", "stica/demo", *tiny(clips_folder, tmp_path / "scores"), "TRAIN.ENABLE", "False"]
    evaluate += ["TEST.CHECKPOINT_FILE_PATH", checkpoint]
    refused = start(tmp_path, "-m", "stica_pv", *evaluate)
    assert refused.returncode == 2
    assert "if you trust vicreg, add --import vicreg to the command" in refused.stderr
    succeed(tmp_path, *evaluate, "--import", "vicreg")
    rows = json.loads((tmp_path / "scores" / "results.json").read_text())["rows"]
    assert any(row["model"] == "trained" and row["metric"] == "R@1" for row in rows)
    for name, what in (("trunk.safetensors", "trunk"), ("encoder.onnx", "encoder")):
        succeed(tmp_path, "export", checkpoint, name, "--what", what, "--import", "vicreg")
    loaded = start(tmp_path, "-c", LOAD, checkpoint)
    assert (loaded.returncode, loaded.stdout) == (0, "8000 2\n"), loaded.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vicreg", "crop_byol", "masked_audio"])
def test_an_example_learns_more_than_random_initialization_knows(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clips = tmp_path_factory.getbasetemp() / "clips_of_the_demo"
    run = tmp_path / "run"
    settings = ["DATA.PATH_TO_DATA_DIR", str(clips), "OUTPUT_DIR", str(run), "REPORT.ENABLE", "False"]
    settings += ["SOLVER.MAX_EPOCH", "10", "SOLVER.WARMUP_EPOCHS", "1", "MODEL.WIDTH", "8"]
    settings += ["TEST.EVALUATIONS", "[retrieval]"]
    succeed(tmp_path, "train", "--cfg", str(METHODS / f"{name}.yaml"), *settings)
    rows = json.loads((run / "results.json").read_text())["rows"]
    score = {row["model"]: row["value"] for row in rows if row["metric"] == "R@1"}
    assert score["trained"] > score["random_init"] + 10
