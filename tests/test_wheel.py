"""The package as it is installed from its wheel: the program, its recipes and a first run, without the clone."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from tiny_runs import REPOSITORY

from stica_pv import __version__

LEFT_OUT = shutil.ignore_patterns(".*", "output", "build", "*.egg-info", "__pycache__", "tests")
FIRST_RUN = [
    *("SYNTHETIC.TRAIN_CLIPS", "16", "SYNTHETIC.TEST_CLIPS", "8", "SYNTHETIC.SECONDS", "2", "TRAIN.BATCH_SIZE", "8"),
    *("TRAIN.MAX_STEPS", "2", "LOG_PERIOD", "1", "TEST.EVALUATIONS", "[knn]", "REPORT.ENABLE", "False"),
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a source distribution of a copy of the clone."""
    pytest.importorskip("build", reason="the package `build` is not installed")
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(REPOSITORY, folder / "source", ignore=LEFT_OUT)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(folder / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.rmtree(folder / "source")
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path) -> Path:
    """The program in an environment of its own, which takes the dependencies from this one, but not the clone."""
    environment = wheel.parent / "environment"
    venv.create(environment)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    # A line of a .pth file adds a folder to the path, whose own .pth files, as of the editable clone, do not count.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return environment / "bin" / "stica-pv"


def test_the_installed_program_trains_evaluates_and_reports_in_any_folder(program: Path, tmp_path: Path):
    def say(*arguments: str, code: int = 0) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env=environment,
            timeout=900,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert say("--version") == f"stica-pv {__version__}\n"
    installed = Path(say("recipes", "--folder").strip())
    assert installed.is_relative_to(program.parent.parent)
    files = {path.relative_to(REPOSITORY / "projects") for path in (REPOSITORY / "projects").rglob("*.yaml")}
    assert {path.relative_to(installed) for path in installed.rglob("*.yaml")} == files
    assert "OUTPUT_DIR: output/gdt/eval/finetune_hmdb51\n" in say(
        "train", "--cfg", "gdt/eval/finetune_hmdb51", "--print_cfg"
    )
    assert "did you mean stica/demo?" in say("train", "--cfg", "stica/dem", code=2)
    assert f"stica_pv from {installed.parent.parent}" in say(
        "train", "--cfg", "stica/demo", "--name", "first", *FIRST_RUN
    )
    run = tmp_path / "output" / "stica" / "first"
    assert (run / "results.json").is_file()
    assert "  state      finished\n" in say("status", "output/stica/first")
    assert "2/2" in say("status")
    assert say("report", "output/stica/first") == "output/stica/first/report.html\n"
    grid = say("ablation", "stica/ablations/controlled/grid", "--table")
    assert "written: output/ablations/controlled/ablation.md" in grid
    assert "measurements of which median" in say("benchmark", "loader", "--help")
