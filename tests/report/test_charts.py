import re

from stica_pv.report.charts import Bar, BarGroup, Line, bar_chart, legend, line_chart, series_dashes, series_style

ODD = '"><script>alert(1)</script>'


def drawn(*lines: Line, **settings: object) -> str:
    return str(line_chart(lines, **{"title": "Loss", "x": "epoch", "y": "loss (nats)", **settings}))


def test_a_chart_has_title_axes_and_its_values_in_words():
    text = drawn(Line("", [(1.0, 4.0), (2.0, 2.0)]))
    for expected in (
        "<span>Loss</span>", '"axis-name"><span>loss (nats)</span></div>', '"axis-name x">epoch</div>',
        "Loss, loss (nats) by epoch. Values from 4 at epoch 1 to 2 at epoch 2, lowest 2, highest 4.", "<b>2</b>",
    ):  # fmt: skip
        assert expected in text, expected


def test_values_can_be_read_back_from_the_line():
    """As page.js reads them."""
    points = [(1.0, 3.7), (4.0, 2.125), (16.0, 1.88)]
    text = drawn(Line("", points))
    (x_range, y_range) = (tuple(map(float, found.split())) for found in re.findall(r'data-[xy]="([^"]+)"', text))
    path = re.search(r'class="line"[^>]* d="M([^"]+)"', text)
    assert path is not None
    for (x, y), pair in zip(points, path[1].split("L"), strict=True):
        across, down = map(float, pair.split())
        assert abs(x_range[0] + (x_range[1] - x_range[0]) * across / 10_000 - x) < 1e-3
        assert abs(y_range[1] - (y_range[1] - y_range[0]) * down / 100_000 - y) < 1e-4


def test_colors_are_those_of_the_page():
    assert not re.findall(r"#[0-9a-f]{6}", drawn(Line("a", [(0, 1)], 9), Line("b", [(0, 2)], 1)))
    assert series_style(9) == "var(--series-1)"
    assert len({(series_style(i), series_dashes(i)) for i in range(32)}) == 32


def test_names_are_escaped():
    texts = [
        drawn(Line(ODD, [(0, 1)], run=0), Line(ODD, [(1, 1)]), title=ODD, x=ODD, y=ODD),
        legend([(ODD, 0)]),
        bar_chart([BarGroup(ODD, [Bar(ODD, 1.0, "red")], ODD)], title=ODD, unit=ODD, chance=[ODD]),
    ]
    assert all("<script>" not in text for text in texts)


def test_a_line_without_points_is_left_out_and_one_point_is_a_dot():
    text = drawn(Line("empty", []), Line("one", [(3.0, 1.0)]))
    assert text.count('class="line"') == 1
    assert re.search(r'class="dots"[^>]* d="M5000 \d+h0"', text)


def test_a_bar_is_as_long_as_its_value_with_interval_and_chance():
    group = BarGroup("Retrieval", [Bar("trained", 50.0, "red", 40.0, 60.0, first=True)], chance=12.5)
    text = str(bar_chart([group], title="Scores", top=100.0, chance=["chance, 12.5 %"]))
    for part in ("width: 50.0%", "left: 40.0%; width: 20.0%", "left: 12.5%", '<span class="value">50</span>'):
        assert part in text, part
    assert "width: 100.0%" in bar_chart([BarGroup("", [Bar("a", 7, "red"), Bar("b", 3, "red")])], title="")
