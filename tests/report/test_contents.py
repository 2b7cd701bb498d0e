"""Whole reports, opened in a browser as a stranger would."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browsing, faults_of
from made_runs import ODD, made_run
from tiny_runs import run_tiny

from stica_pv.commands import report
from stica_pv.errors import UsageError
from stica_pv.report.contents import write_report
from stica_pv.report.page import fragment


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsing(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.slow
def test_several_runs_one_of_them_killed_with_odd_names(browser: Any, tmp_path: Path):
    whole = made_run(tmp_path / "whole", DATA__PATH_TO_DATA_DIR=ODD)
    killed = made_run(tmp_path / ODD.replace("/", "")[:200], steps=2, evaluated=False)
    page = write_report([whole, killed], tmp_path / "report.html")
    assert faults_of(browser, page) == []
    headings = [one.text for one in browser.find_elements("tag name", "h2")]
    assert headings[:4] == ["Overview", "Settings", "Evaluation", "Training"]
    assert len(browser.find_elements("css selector", "figure svg")) >= 8


@pytest.mark.slow
def test_a_run_with_nothing_but_its_configuration(browser: Any, tmp_path: Path):
    (tmp_path / "config.yaml").write_text("TRAIN:\n  ENABLE: true\n")
    page = write_report([tmp_path], tmp_path / "report.html")
    assert faults_of(browser, page) == []
    assert "No training step was logged" in browser.find_element("tag name", "body").text


@pytest.mark.slow
def test_a_run_writes_its_report_at_its_end(browser: Any, clips_folder: Path, tmp_path: Path):
    run_tiny(clips_folder, tmp_path, REPORT__ENABLE=True, TEST__ENABLE=True, TEST__EVALUATIONS="['retrieval']")
    assert faults_of(browser, tmp_path / "report.html") == []
    assert re.search(r"(?<!not )finished: step", browser.find_element("tag name", "body").text)


def test_without_the_extra_a_run_that_asks_for_a_report_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match="REPORT.ENABLE"):
        run_tiny(tmp_path / "clips", tmp_path / "run", REPORT__ENABLE=True)
    assert not (tmp_path / "run").exists()


def test_the_command_names_its_page_or_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert report.parse(["run", "--gallery", "--opts", "A", "1", "--opts", "B", "2"]).opts == ["A", "1", "B", "2"]
    (tmp_path / "config.yaml").write_text("TASK: gdt\n")
    assert report.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    shown = dict.fromkeys(("kind", "name", "image", "alt", "absent", "audio", "mark", "label", "similarity"), "")
    gallery = fragment(
        "gallery.html", title="", intro="", summary="", groups=[("", [{"query": shown, "answers": []}])], side=9
    )
    (tmp_path / "report.html").write_text(gallery)
    assert report.main([str(tmp_path)]) == 2
    assert "add --gallery, or give another file with --out" in capsys.readouterr().err
    assert 'class="query"' in (tmp_path / "report.html").read_text()
    assert report.main([str(tmp_path), str(tmp_path / "no")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
