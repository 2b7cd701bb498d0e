"""Charts as SVG and bars as HTML in the colors of the page; each has a text alternative and its numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from stica_pv.report.page import fragment
from stica_pv.report.scale import Scale, decimals_of, position, scale_of, short_number

SERIES = 8  # colors of theme.css
NEUTRAL, NEUTRAL_SOFT = "var(--neutral)", "var(--neutral-soft)"  # of what needs no training
DASHES = ("none", "7 3", "2 3", "8 3 2 3")
DOTS_UP_TO = 30  # number of points up to which each is marked
X_UNITS, Y_UNITS = 10_000, 100_000  # size of the SVG in its own units, as in chart.html and page.js

Curve = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Attributes:
        name: Name in the legend; empty for the only curve.
        points: Points (x, y) with ascending x.
        series: Number of the color.
        dash: Number of the dashes; None: those of the series.
        run: Number of the run in a table that filters the chart.
    """

    name: str
    points: Curve
    series: int = 0
    dash: int | None = None
    run: int | None = None


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        name: Label.
        value: Length.
        color: Color for a style attribute.
        low: Lower bound of the interval, None without one.
        high: Upper bound of the interval.
        first: Whether it is what the chart is about, and not a reference.
    """

    name: str
    value: float
    color: str
    low: float | None = None
    high: float | None = None
    first: bool = False


@dataclass(frozen=True)
class BarGroup:
    """Bars under one heading.

    Attributes:
        title: Heading; empty without one.
        bars: The bars.
        note: What they count.
        chance: Level of chance, None if it has none.
    """

    title: str
    bars: Sequence[Bar]
    note: str = ""
    chance: float | None = None


def series_style(number: int) -> str:
    """Return the color of a series for a style attribute of the page."""
    return f"var(--series-{number % SERIES})"


def series_dashes(number: int) -> str:
    """Return the dashes of a line; 32 pairs of color and dashes are distinct, also in print."""
    return DASHES[(number + number // SERIES) % len(DASHES)]


def _dashes(line: Line) -> str:
    return series_dashes(line.series) if line.dash is None else DASHES[line.dash % len(DASHES)]


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x: str,
    y: str,
    numbers: Markup = Markup(""),  # noqa: B008 - immutable
    reference: tuple[str, float] | None = None,
    with_legend: bool = True,
) -> Markup:
    """Draw curves in a card.

    Args:
        lines: Curves; those without points are left out.
        title: Title of the card.
        x: Name of the horizontal axis.
        y: Name and unit of the vertical axis.
        numbers: Folded table of the numbers.
        reference: Name and value of a dotted line across the chart.
        with_legend: Whether to name several curves above the chart.
    """
    shown = [line for line in lines if line.points]
    across = scale_of([at for line in shown for at, _ in line.points], tight=True)
    limits = (0.0, 100.0) if "%" in y else (-math.inf, math.inf)
    up = scale_of(
        [*(value for line in shown for _, value in line.points), *((reference[1],) if reference else ())], limits=limits
    )
    plot = {
        "lines": [_path(line, across, up, with_dots=len(shown) <= SERIES) for line in shown],
        "rules": [Y_UNITS - position(tick, up, Y_UNITS) for tick in up.ticks],
        "reference": Y_UNITS - position(reference[1], up, Y_UNITS) if reference else None,
        "x_range": f"{across.low!r} {across.high!r}",
        "y_range": f"{up.low!r} {up.high!r}",
        "x_ticks": _ticks(across),
        "y_ticks": _ticks(up),
    }
    latest = Markup("<b>{}</b>").format(short_number(shown[0].points[-1][1])) if len(shown) == 1 else ""
    names = (
        _legend([(line.name, series_style(line.series), _dashes(line)) for line in shown])
        if with_legend and len(shown) > 1
        else ""
    )
    return fragment(
        "chart.html",
        title=title,
        x=x,
        y=y,
        plot=plot,
        latest=latest,
        reference=f"{reference[0]} {short_number(reference[1])}" if reference else "",
        legend=names,
        numbers=numbers,
        description=_description(shown, title, x, y),
    )


def bar_chart(
    groups: Sequence[BarGroup],
    *,
    title: str,
    unit: str = "",
    note: str = "",
    numbers: Markup = Markup(""),  # noqa: B008 - immutable
    chance: Sequence[str] = (),
    top: float | None = None,
) -> Markup:
    """Draw horizontal bars in a card.

    Args:
        groups: Groups of bars.
        title: Title of the card.
        unit: Name or unit of the values.
        note: What the bars count.
        numbers: Folded table of the numbers.
        chance: Explanations of the dotted line; with them, intervals are explained too.
        top: Value of a full bar; None: the largest value of all groups.
    """
    html = bars_of(groups, chance=chance, top=top)
    return fragment("figure.html", title=title, latest=unit, note=note, html=html, numbers=numbers)


def bars_of(groups: Sequence[BarGroup], *, chance: Sequence[str] = (), top: float | None = None) -> Markup:
    """Draw horizontal bars without a card; see `bar_chart`."""
    full = top or max((bar.value for group in groups for bar in group.bars), default=0.0) or 1.0
    return fragment("bars.html", groups=[_group(group, full) for group in groups], chance=chance)


def legend(entries: Sequence[tuple[str, int]]) -> Markup:
    """Return a legend of names and numbers of series."""
    return _legend([(name, series_style(number), series_dashes(number)) for name, number in entries])


def _legend(entries: Sequence[tuple[str, str, str]]) -> Markup:
    return fragment("legend.html", entries=entries)


def _path(line: Line, across: Scale, up: Scale, *, with_dots: bool) -> dict[str, object]:
    points = [f"{position(x, across, X_UNITS)} {Y_UNITS - position(y, up, Y_UNITS)}" for x, y in line.points]
    dots = "".join(f"M{point}h0" for point in points) if with_dots and len(points) <= DOTS_UP_TO else ""
    return {
        "name": line.name,
        "run": line.run,
        "color": series_style(line.series),
        "dashes": _dashes(line),
        "path": "M" + "L".join(points),
        "dots": dots,
    }


def _ticks(scale: Scale) -> list[tuple[str, float]]:
    decimals = max(decimals_of(tick) for tick in scale.ticks) if scale.ticks else 0
    return [
        (short_number(tick, decimals), round(100 * position(tick, scale, 10_000) / 10_000, 2)) for tick in scale.ticks
    ]


def _description(lines: Sequence[Line], title: str, x: str, y: str) -> str:
    """Return the text alternative of a line chart: its first, last and extreme values."""
    sentences = []
    for line in lines[:SERIES]:
        values = [value for _, value in line.points]
        (begin, first), (end, last) = line.points[0], line.points[-1]
        sentences.append(
            f"{line.name or 'Values'} from {short_number(first)} at {x} {short_number(begin)} to {short_number(last)} "
            f"at {x} {short_number(end)}, lowest {short_number(min(values))}, highest {short_number(max(values))}."
        )
    more = [f"{len(lines) - SERIES} more curves."] if len(lines) > SERIES else []
    return " ".join([f"{title}, {y} by {x}.", *sentences, *more, "Arrow keys read the values."])


def _group(group: BarGroup, full: float) -> dict[str, object]:
    def share(value: float) -> float:
        return round(100 * min(1.0, max(0.0, value / full)), 2)

    bars = []
    for bar in group.bars:
        interval = None
        if bar.low is not None and bar.high is not None:
            interval = share(bar.low), round(share(bar.high) - share(bar.low), 2)
        bars.append(
            {
                "name": bar.name,
                "share": share(bar.value),
                "color": bar.color,
                "interval": interval,
                "value": short_number(bar.value),
                "first": bar.first,
            }
        )
    chance = None if group.chance is None else share(group.chance)
    return {"title": group.title, "note": group.note, "bars": bars, "chance": chance}
