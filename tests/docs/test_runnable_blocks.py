"""Blocks that a page marks to be run: its files are written, its commands run in order, with few clips and steps."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, ROOT, RUN, Block, blocks, commands_of, without_environment
from tiny_clips import make_clip

pytestmark = pytest.mark.slow

PAGES_THAT_RUN = [page for page in PAGES if any(block.mark == RUN for block in blocks(page))]
SMALL = {
    "SYNTHETIC.TRAIN_CLIPS": 16,
    "SYNTHETIC.TEST_CLIPS": 8,
    "TRAIN.MAX_STEPS": 2,
    "TRAIN.BATCH_SIZE": 4,
    "DATA_LOADER.NUM_WORKERS": 0,
    "REPORT.ENABLE": False,
}
LAST_STEP = "step_00000256"  # of the demo, as the pages name it
SMALL_LAST_STEP = "step_00000002"


def write(block: Block, folder: Path) -> None:
    """Writes the file that a block shows, and the clips that a list of files names."""
    target = folder / block.title
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(block.text)
    if target.suffix == ".json":
        for number, entry in enumerate(json.loads(block.text)):
            make_clip(target.parent / entry["file"], number, seconds=2.5)


def expanded(arguments: list[str], folder: Path) -> list[str]:
    """Returns the arguments as a shell would give them to the command, with the small run's last step."""
    found: list[str] = []
    for argument in arguments:
        argument = argument.replace(LAST_STEP, SMALL_LAST_STEP)
        paths = sorted(str(path.relative_to(folder)) for path in folder.glob(argument)) if "*" in argument else []
        found += paths or [argument]
    return found


def run(arguments: list[str], folder: Path) -> None:
    """Runs a command of the program; one with the demo's recipe is made small."""
    program, *rest = without_environment(arguments)
    assert program == "stica-pv", arguments
    small = [str(argument) for pair in SMALL.items() for argument in pair] if "stica/demo" in rest else []
    if rest[0] == "train" and "--name" not in rest:
        small += ["OUTPUT_DIR", "output/stica/demo"]  # the default one would name the small run's settings
    python("-m", "stica_pv", *expanded(rest, folder), *(["--opts", *small] if small else []), folder=folder)


def python(*arguments: str, folder: Path) -> None:
    """Runs Python in a folder whose modules it finds, as with PYTHONPATH=. of the pages."""
    path = os.pathsep.join(filter(None, [".", os.environ.get("PYTHONPATH", "")]))
    command, environment = [sys.executable, *arguments], {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("page", PAGES_THAT_RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_run(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.title:
            write(block, tmp_path)
        elif block.mark == RUN and block.language == "python":
            python("-c", block.text.replace(LAST_STEP, SMALL_LAST_STEP), folder=tmp_path)
        elif block.mark == RUN:
            for arguments in commands_of(block.text):
                run(arguments, tmp_path)
