"""The template of a plugin, installed and used as its README says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import REPOSITORY, losses

PLUGIN = REPOSITORY / "examples" / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The plugin as an installed package, and the environment that finds it."""
    folder = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source") / "plugin"  # a build writes into its source
    subprocess.run(["cp", "-r", str(PLUGIN), str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(folder), str(source)], check=True, timeout=300)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}


def start(folder: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.slow
def test_its_tests_pass(installed: dict[str, str], tmp_path: Path):
    done = start(tmp_path, installed, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(PLUGIN / "tests"))
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_its_method_trains_on_its_data_set_without_any_flag(
    installed: dict[str, str], clips_folder: Path, tmp_path: Path
):
    lines = [line.split() for line in (clips_folder / "train.csv").read_text().splitlines()]
    entries = [json.dumps({"file": file, "class": f"class{label}"}) for file, label in lines]
    (clips_folder / "train.jsonl").write_text("\n".join(entries))
    run_net = str(REPOSITORY / "tools" / "run_net.py")
    explained = start(tmp_path, installed, run_net, "--explain", "SIGMOID.SCALE")
    assert explained.returncode == 0, explained.stderr
    assert "Factor t on the cosine of a pair." in explained.stdout
    output = tmp_path / "run"
    settings = [
        "TRAIN.MAX_STEPS",
        "3",
        "DATA.NUM_FRAMES",
        "4",
        "DATA.TRAIN_CROP_SIZE",
        "32",
        "DATA.TEST_CROP_SIZE",
        "32",
    ]
    settings += ["MODEL.WIDTH", "4", "AUDIO.WIDTH", "4", "TRAIN.BATCH_SIZE", "4", "DATA_LOADER.NUM_WORKERS", "0"]
    settings += ["DATA.PATH_TO_DATA_DIR", str(clips_folder), "OUTPUT_DIR", str(output)]
    done = start(tmp_path, installed, run_net, "--cfg", str(PLUGIN / "sigmoid.yaml"), *settings)
    assert done.returncode == 0, done.stderr
    assert len(losses(output)) == 3
    code = f"from stica_pv.exchange import load_encoder; print(load_encoder({str(output)!r}, 'audio').sample_rate)"
    loaded = start(tmp_path, installed, "-c", code)
    assert (loaded.returncode, loaded.stdout) == (0, "16000\n"), loaded.stderr
