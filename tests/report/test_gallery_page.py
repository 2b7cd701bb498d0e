"""Pages of clips from end to end: made by the tools, with names that no page should trust, checked in a browser."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from browser import browsing, faults_of
from tiny_clips import make_clip
from tiny_runs import REPOSITORY, run_tiny, tiny_cfg

from stica_pv.errors import UsageError
from stica_pv.report.inspection import inspect_batch
from stica_pv.report.run_config import configuration_of

ODD = (
    "<b>bold<img src=x onerror=alert(1)>&amp;.mp4",
    "длинное имя \U0001f3bb.mp4",
    "$x^2$_" + "very_long_" * 15 + ".mp4",
    "quote\"'`.mp4",
)
CLASSES = ("two & more", "<i>one")
SETTINGS = {
    "TRAIN__DATASET": "class_folders",
    "TRAIN__MAX_STEPS": 1,
    "POOL__NAME": "transformer",
    "DATA__TRAIN_JITTER_SCALES_RELATIVE": "[0.9, 1.0]",  # small crops may be of one color, as absent images are
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a second on ten clips in two classes with odd names, evaluated by retrieval; one has no audio."""
    folder = tmp_path_factory.mktemp("odd")
    for number in range(10):
        subfolder = folder / "clips" / ("train" if number < 6 else "test") / CLASSES[number % 2]
        subfolder.mkdir(parents=True, exist_ok=True)
        made = make_clip(folder / "plain.mp4", number, audio=number != 9)
        made.rename(subfolder / f"{number}{ODD[number % len(ODD)]}")
    run_tiny(folder / "clips", folder / "run", TEST__ENABLE=True, TEST__EVALUATIONS="['retrieval']", **SETTINGS)
    return folder


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "tools" / name), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_gallery_and_batch_are_pages_that_open_without_other_files(folder: Path, tmp_path: Path):
    gallery = tool("gallery.py", folder / "run", "--queries", "3", "--out", tmp_path / "gallery.html")
    assert gallery.returncode == 0, gallery.stderr
    cfg = tiny_cfg(folder / "clips", tmp_path, **SETTINGS)
    page, frame = inspect_batch(cfg, tmp_path, step=0, clips=2)
    assert (page.name, frame.name) == ("batch.html", "batch.png")
    assert frame.stat().st_size > 20_000
    with browsing(tmp_path / "profile") as browser:
        for page in ("batch.html", "gallery.html"):
            assert faults_of(browser, tmp_path / page) == []
            assert browser.execute_script("return document.querySelectorAll('b, i').length") == 0
        check_touch(browser, count=4 * 4)


def check_touch(browser, *, count: int) -> None:
    """A point of the map shows its frame, also by keyboard; a button plays."""
    script = "return document.querySelector('.frame span').textContent"
    before, points = browser.execute_script(script), browser.find_elements("css selector", ".map .spot")
    assert len(points) == count
    browser.execute_script("arguments[0].dispatchEvent(new Event('pointerenter'))", points[2])
    spots = json.loads(browser.find_element("css selector", "script.spots").get_attribute("textContent"))
    assert browser.execute_script(script) == spots[int(points[2].get_attribute("data-spot"))][1] != before
    browser.find_element("css selector", ".plane").send_keys("\ue014")  # right arrow: the first clip
    assert browser.execute_script(script) == spots[0][1]
    (play, *_) = browser.find_elements("css selector", ".found button[data-media]")
    browser.execute_script("arguments[0].click()", play)
    assert play.get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("gallery.py", ["run", "--queries", "0"], "--queries: expected a number >= 1, got 0"),
        ("inspect_batch.py", ["--cfg", "a.yaml", "--clips", "0"], "--clips: expected a number from 1 to 32, got 0"),
    ],
)
def test_a_wrong_number_is_refused_before_anything_is_loaded(name: str, arguments: list[str], expected: str):
    found = tool(name, *arguments)
    assert found.returncode == 2
    assert expected in found.stderr.splitlines()[-1]


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="has no config.yaml: expected the OUTPUT_DIR of a run"):
        configuration_of(tmp_path)
