import re
import sys

import pytest

from stica_pv.errors import UsageError
from stica_pv.report import charts


def drawn(title: str = "title", name: str = "x") -> str:
    def draw(axes):  # noqa: ANN001
        axes.plot([0, 1], [0, 1], color=charts.series_color(9), linestyle=charts.series_dash(9))
        axes.set_xticks([0, 1], ["a $b$", "<i>"])

    return str(charts.chart(draw, title=title, x=name, y="loss (nats)"))


def test_a_chart_takes_its_colors_from_the_page():
    text = drawn()
    assert "stroke: var(--series-1)" in text
    assert "fill: var(--ink)" in text
    assert "stroke: var(--faint)" in text
    colors = set(re.findall(r"#[0-9a-f]{6}", re.sub(r'href="#\w+"', "", text)))
    assert colors <= {"#ffffff", "#000000"}  # of what is never painted
    assert not re.findall(r"fill: #(?:ffffff|000000)(?!; opacity: 0)", text)


def test_axes_keep_names_and_units_as_letters():
    text = drawn(name="epochs")
    for expected in (">epochs</text>", ">loss (nats)</text>", ">a $b$</text>", ">&lt;i&gt;</text>"):
        assert expected in text


def test_the_title_is_escaped():
    assert '"><script>' not in drawn(title='"><script>')


def test_charts_of_one_page_do_not_share_names_of_parts():
    first, second = (set(re.findall(r'id="([^"]+)"', drawn(title=title))) for title in ("a", "b"))
    assert not first & second


def test_thirty_two_series_differ_in_color_or_dashes():
    assert len({(charts.series_color(i), str(charts.series_dash(i))) for i in range(32)}) == 32
    assert charts.series_style(9) == "var(--series-1)"


def test_the_settings_of_the_caller_are_not_touched():
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True, "font.size": 3}):
        assert "</text>" in drawn()
        assert matplotlib.rcParams["font.size"] == 3


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"stica_pv\[report\]"):
        charts.check_extra()
