import csv
from dataclasses import replace
from pathlib import Path

import pytest
from browser import browsing, faults_of
from made_runs import ODD

from stica_pv.data.loading.read_test import ReadTest
from stica_pv.data.manifest.overview import Counts
from stica_pv.report.data_page import DataCheck, data_csv, write_data_page
from stica_pv.structures import ReadFailure

FOUND = DataCheck(
    title=ODD,
    refusal="",
    totals=[("files", 8, ""), ("size", 0.5, "GB")],
    excluded=[
        ReadFailure(ODD, "image lasts 0.2 s, the recipe needs 1.00 s"),
        ReadFailure("b.mp4", "image lasts 0.3 s, the recipe needs 1.00 s"),
        ReadFailure("c.mp4", "no audio stream"),
    ],
    spreads=[Counts("Images a second", "1/s", (ODD, "25"), (3, 5))],
    classes=[(ODD, 6), ("small", 2)],
    copies=[(ODD, "a.mp4")],
    trial=ReadTest(4, 0.5, (ReadFailure(ODD, ODD),), audio_tracks=4, silent=1),
    workers=3,
    samples=7200,
)


def test_the_csv_has_each_number_of_the_page():
    rows = {(row["table"], row["name"]): float(row["value"]) for row in csv.DictReader(data_csv(FOUND).splitlines())}
    assert rows["left out", "image is shorter than 1.00 s"] == 2
    assert rows["Images a second, 1/s", "25"] == 5
    assert rows["classes", "small"] == 2
    assert rows["copies", "copies of another file of the list"] == 1
    assert rows["reading", "an epoch of 7200 samples"] == 1.0  # core hours
    assert rows["reading", "speed of DATA_LOADER.NUM_WORKERS 3, one core each"] == 6.0
    assert rows["reading", "silent audio tracks, 60 dB below full scale"] == 25.0


def test_the_page_says_what_training_would_say_and_escapes_names(tmp_path: Path):
    text = write_data_page(tmp_path / "a.html", replace(FOUND, refusal="BATCH_SIZE 9 is larger than <b>")).read_text()
    assert "<strong>No: BATCH_SIZE 9 is larger than &lt;b&gt;" in text
    assert "<img" not in text
    assert text.count('class="bars"') == 2
    assert "12.5" in text  # 1 of 8 files
    assert "2 classes; the largest has 6 videos, the smallest 2." in text


def test_a_list_of_which_nothing_can_be_used_still_has_a_page(tmp_path: Path):
    bare = replace(FOUND, excluded=[], spreads=[], classes=[], copies=[], trial=None, samples=0)
    text = write_data_page(tmp_path / "a.html", bare).read_text()
    for said in (
        "No file could be opened.",
        "The list has no labels.",
        "No sample was read",
        "No two files",
        "<strong>Yes.",
    ):
        assert said in text
    assert "reading" not in data_csv(bare)


@pytest.mark.slow
def test_a_browser_finds_nothing_wrong_with_the_page(tmp_path: Path):
    page = write_data_page(tmp_path / "a.html", FOUND)
    with browsing(tmp_path / "profile") as browser:
        assert faults_of(browser, page) == []
