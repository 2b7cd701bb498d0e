from pathlib import Path

import pytest
from made_runs import ODD
from markupsafe import Markup

from stica_pv.errors import UsageError
from stica_pv.report.page import Section, anchors_of, breakable, missing, show, table, write_page


def test_names_are_escaped_wherever_they_stand(tmp_path: Path):
    html = table([ODD], [[ODD]], caption=ODD, folded=ODD) + missing([ODD])
    text = write_page(tmp_path / "a.html", ODD, [Section(ODD, html, ODD)] * 2, subtitle=ODD).read_text()
    assert "<img" not in text
    assert "49" not in text.replace(ODD, "")
    assert text.count("&lt;img src") >= 12


def test_breaks_are_offered_behind_joints_and_the_letters_stay():
    assert breakable("a/b_c.mp4") == Markup("a/<wbr>b_<wbr>c.<wbr>mp4")
    assert breakable("-1.5,2e-3") == Markup("-1.5,2e-3")
    assert breakable("<") == Markup("&lt;")
    assert breakable(Markup("<b>x/y</b>")) == Markup("<b>x/y</b>")


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (3, "3"),
        (20.0, "20"),
        (1234567, "1\u202f234\u202f567"),
        (0.00012345, "0.0001234"),
        (1 / 3, "0.3333"),
        (float("nan"), "nan"),
        (None, ""),
        ("0.10", "0.10"),
        (True, "True"),
    ],
)
def test_numbers_are_shown_with_four_digits(cell: str | float | None, text: str):
    assert show(cell) == text


def test_numbers_and_their_heading_are_right_aligned():
    assert table(["a", "b"], [[1.5, "x"]]).count('class="number"') == 2


def test_a_table_that_scrolls_can_be_reached_by_keyboard_and_has_a_name():
    assert '<div class="wide" tabindex="0" role="region" aria-label="Numbers">' in table(["a"], [], folded="Numbers")


def test_links_to_headings_are_names_and_differ():
    assert anchors_of(["Speed and memory", "1. a/b.mp4", "日本", "1. a b mp4"]) == [
        "speed-and-memory",
        "1-a-b-mp4",
        "part",
        "1-a-b-mp4-4",
    ]


def test_a_page_is_the_same_each_time(tmp_path: Path):
    one, other = (write_page(tmp_path / name, "t", [Section("s", missing(["a"]))]).read_text() for name in "ab")
    assert one == other


def test_a_page_that_cannot_be_written_is_a_usage_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/a.html cannot be written"):
        write_page(tmp_path / "file" / "a.html", "t", [])
    with pytest.raises(UsageError, match="expected a file name, got a folder"):
        write_page(tmp_path, "t", [])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_bytes_that_are_no_text_do_not_stop_a_page(tmp_path: Path):
    assert "clip?.mp4" in write_page(tmp_path / "new" / "a.html", "clip\udcff.mp4", []).read_text().replace("<wbr>", "")
