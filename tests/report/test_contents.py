"""Whole reports, opened in a browser as a stranger would."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attempts import run_in_processes
from browser import browsing, faults_of, open_page
from made_runs import ODD, made_run
from tiny_runs import run_tiny

from stica_pv.commands import report
from stica_pv.report.contents import write_report
from stica_pv.report.gallery import Gallery
from stica_pv.report.page import Section, fragment
from stica_pv.report.thumbnails import animated_webp


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
    headings = [one.text for one in browser.find_elements("css selector", "nav a")]
    assert headings[:4] == ["Runs", "Evaluation", "Training", "Collapse monitors"]
    assert len(browser.find_elements("css selector", ".plot svg")) >= 6
    notices = [one.text for one in browser.find_elements("css selector", ".missing p")]
    assert len(notices) == len(set(notices)) > 0


@pytest.mark.slow
def test_the_table_of_runs_sorts_and_filters_and_links_to_their_reports(browser: Any, tmp_path: Path):
    for number, rate in enumerate((0.5, 0.03, 0.1)):
        folder = made_run(tmp_path / f"run{number}", evaluated=number != 1, SOLVER__BASE_LR=rate)
        write_report([folder], folder / "report.html")
    page = write_report([tmp_path], tmp_path / "report.html")
    assert faults_of(browser, page) == []
    assert [one.get_attribute("href")[-16:] for one in browser.find_elements("css selector", "th[scope=row] a")] == [
        f"run{number}/report.html" for number in range(3)
    ]
    by_name = {one.text.split(" ")[0]: one for one in browser.find_elements("css selector", ".runs thead button")}
    rate, score = by_name["SOLVER.BASE_LR"], by_name["Retrieval,"]
    rate.click()
    assert shown_runs(browser) == ["run0", "run2", "run1"]  # numbers from the largest
    rate.click()
    assert shown_runs(browser) == ["run1", "run2", "run0"]
    assert browser.find_element("css selector", "th[aria-sort]").get_attribute("aria-sort") == "ascending"
    score.click()
    assert shown_runs(browser)[-1] == "run1"  # without a score
    search = browser.find_element("id", "run-filter")
    search.send_keys("solver.base_lr=0.1 FINISHED")
    assert shown_runs(browser) == ["run2"]
    assert browser.find_element("id", "run-count").text == "1 of 3 runs"
    assert {one.get_attribute("data-run") for one in browser.find_elements("css selector", ".line:not(.off)")} == {"2"}


def shown_runs(browser: Any) -> list[str]:
    rows = browser.find_elements("css selector", ".runs tbody tr")
    return [row.find_element("tag name", "th").text for row in rows if row.is_displayed()]


@pytest.mark.slow
def test_a_report_can_be_used_without_a_mouse_and_without_motion(browser: Any, tmp_path: Path):
    frames = np.random.default_rng(0).integers(0, 255, (4, 48, 48, 3), dtype=np.uint8)
    one = {"image": "0-animation", "alt": "clip", "name": "a.mp4", "kind": "right", "mark": "✓", "label": "class 1"}
    cell = fragment("found.html", one={**one, "audio": None, "meaning": "same class", "brief": True}, side=96)
    media = fragment("media.html", media={"0-animation": animated_webp(frames, 96, 1.0)})
    highlights = fragment("highlights.html", title="Test clips", note="", rows=[(cell, [cell] * 3)] * 6)
    page = write_report(
        [made_run(tmp_path / "run")], tmp_path / "a.html", Gallery([Section("Neighbors", media)], highlights)
    )
    assert faults_of(browser, page) == []
    open_page(browser, page)
    check_contents(browser)
    assert (
        browser.execute_script("return document.querySelector('#evaluation').offsetTop") > 500
    )  # the summary is above
    browser.execute_script("document.querySelector('.plot').focus({focusVisible: true})")
    plot = browser.find_element("css selector", ".plot")
    plot.send_keys("\ue014")  # right arrow
    assert browser.find_element("css selector", ".tip").text == "epoch 2\n1"
    source = "return document.querySelector('.found img').src.slice(0, 15)"
    assert browser.execute_script(source) == "data:image/webp"
    browser.find_element("css selector", "button.motion").click()
    assert (
        browser.execute_async_script(f"setTimeout(() => arguments[0]((() => {{{source}}})()), 300)")
        == "data:image/png;"
    )
    open_page(browser, page, reduced_motion=True)
    assert (
        browser.execute_async_script(f"setTimeout(() => arguments[0]((() => {{{source}}})()), 300)")
        == "data:image/png;"
    )
    assert browser.find_element("css selector", "button.motion").text == "Play clips"


def check_contents(browser: Any) -> None:
    """Each link of the table of contents leads to its section, and the table stays in view."""
    for link in browser.find_elements("css selector", "nav a"):
        link.click()
        name = link.get_attribute("href").partition("#")[2]
        top = f"return document.getElementById('{name}').getBoundingClientRect().top"
        at_end = "return innerHeight + scrollY >= document.documentElement.scrollHeight - 2"
        assert browser.execute_script(top) < 60 or browser.execute_script(at_end), name
        assert browser.execute_script("return document.querySelector('nav').getBoundingClientRect().top") >= 0


@pytest.mark.slow
def test_equal_curves_and_notices_are_shown_once(browser: Any, tmp_path: Path):
    with (made_run(tmp_path, evaluated=False, TEST__ENABLE=False) / "json_stats.log").open("a") as file:
        for step in (8, 10):
            file.write(f'{{"step": {step}, "epoch": {step / 2}, "loss_within": {step}, "loss_space": {step}}}\n')
    page = write_report([tmp_path], tmp_path / "report.html")
    assert faults_of(browser, page) == []
    plots = browser.find_elements("css selector", "#summary .plot, #training .plot")
    charts = [f"{one.get_attribute('data-y')} {one.get_attribute('innerHTML')}" for one in plots]
    assert len(charts) == len(set(charts)) == 4
    assert browser.find_element("tag name", "body").text.count("Nothing was evaluated") == 1


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


@pytest.mark.slow
def test_a_run_of_two_processes_writes_its_report_and_a_gallery(clips_folder: Path, tmp_path: Path):
    settings = {"TEST__ENABLE": True, "TEST__EVALUATIONS": "['retrieval']", "REPORT__ENABLE": True}
    run_in_processes(clips_folder, tmp_path / "run", CPU_PROCESSES=2, **settings)
    text = (tmp_path / "run" / "report.html").read_text()
    assert 'class="query"' in text
    assert "training step 0" in text  # the first clips, which the main process reads by itself
    again = ["--gallery", "--out", str(tmp_path / "again.html"), "--opts", "CPU_PROCESSES", "2"]
    assert report.main([str(tmp_path / "run"), *again]) == 0
    assert 'class="query"' in (tmp_path / "again.html").read_text()


def test_a_page_needs_no_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("matplotlib", "sklearn"):
        monkeypatch.setitem(sys.modules, name, None)
    page = write_report([made_run(tmp_path / "run")], tmp_path / "report.html")
    assert page.read_text().count('class="line"') >= 4


def test_the_command_names_its_page_or_says_in_one_line_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert report.parse(["run", "--gallery", "--opts", "A", "1", "--opts", "B", "2"]).opts == ["A", "1", "B", "2"]
    (tmp_path / "config.yaml").write_text("TASK: gdt\n")
    assert report.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    query = {"query": "", "name": "a.mp4", "answers": []}
    gallery = fragment("gallery.html", title="", intro="", summary="", groups=[("", [query])])
    (tmp_path / "report.html").write_text(gallery)
    assert report.main([str(tmp_path)]) == 2
    assert "add --gallery, or give another file with --out" in capsys.readouterr().err
    assert 'class="query"' in (tmp_path / "report.html").read_text()
    assert report.main([str(tmp_path), str(tmp_path / "no")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
