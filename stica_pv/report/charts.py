"""Matplotlib charts as SVG inside a page, in the colors of the page, each with a table of its numbers."""

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from stica_pv.errors import UsageError
from stica_pv.report.page import fragment

if TYPE_CHECKING:  # an extra
    from matplotlib.axes import Axes

MISSING = "REPORT.ENABLE and the tools that write pages need the extra 'report': pip install 'stica_pv[report]'"

# Placeholder colors of charts, replaced by the light or dark colors of the page.
INK, FAINT = "#010203", "#010204"
SERIES = tuple(f"#0102{number:02x}" for number in range(16, 24))
DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))
SIZE_INCHES = (4.6, 2.7)  # about the width of a phone at 72 points per inch, so that text keeps its size there
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # no math between dollar signs
    "font.size": 10,
    **{key: INK for key in ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")},
    **{key: FAINT for key in ("axes.edgecolor", "grid.color", "xtick.color", "ytick.color")},
    **{"axes.grid": True, "axes.axisbelow": True, "grid.linewidth": 0.5},
    **{"axes.spines.top": False, "axes.spines.right": False},
}


def check_extra() -> None:
    """Raise an error that names the extra if it is missing.

    Raises:
        UsageError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise UsageError(MISSING) from error


def series_color(number: int) -> str:
    """Return the color of a series for matplotlib; see `series_style` for the page."""
    return SERIES[number % len(SERIES)]


def series_style(number: int) -> str:
    """Return the color of a series for a style attribute of the page."""
    return f"var(--series-{number % len(SERIES)})"


def series_dash(number: int) -> Any:
    """Return the dashes of a line; 32 pairs of color and dashes are distinct, also in print."""
    return DASHES[(number + number // len(SERIES)) % len(DASHES)]


def chart(
    draw: Callable[["Axes"], None],
    *,
    title: str,
    x: str,
    y: str,
    numbers: Markup = Markup(""),  # noqa: B008 - immutable
    size: tuple[float, float] = SIZE_INCHES,
) -> Markup:
    """Draw one chart.

    Args:
        draw: Function that draws on the axes, in `INK`, `FAINT` and `series_color`. Use `legend` for legends: it
            escapes and wraps names.
        title: Title above the chart.
        x: Name and unit of the horizontal axis.
        y: Name and unit of the vertical axis.
        numbers: Folded table of the numbers.
        size: Width and height in inches.

    Raises:
        UsageError: The extra is not installed.
    """
    check_extra()
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # ignore the user's matplotlibrc
        matplotlib.rcParams.update({**STYLE, "svg.hashsalt": title})
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        draw(axes)
        return fragment("chart.html", svg=_svg(figure, title), title=title, numbers=numbers)


def grid(parts: Sequence[Markup]) -> Markup:
    """Arrange charts or images in a grid, as many per row as fit."""
    return fragment("grid.html", parts=parts)


def legend(names: Sequence[str], *, points: bool = False) -> Markup:
    """Return the legend of all charts of a section, with colors and dashes, or points without dashes."""
    dashes = ["" if points else _svg_dashes(number) for number in range(len(names))]
    entries = [(name, number % len(SERIES), dashes[number]) for number, name in enumerate(names)]
    return fragment("legend.html", entries=entries)


def _svg_dashes(number: int) -> str:
    dash = series_dash(number)
    return "" if dash == "solid" else " ".join(str(2 * length) for length in dash[1])


def _svg(figure: Any, title: str) -> Markup:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # unused, and not unique across charts
    width, height = 72 * figure.get_size_inches()
    opening = f'<svg role="img" aria-label="{Markup.escape(title)}" viewBox="0 0 {width:.4g} {height:.4g}">'
    text = re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1)
    for color, name in ((INK, "ink"), (FAINT, "faint"), *((one, f"series-{i}") for i, one in enumerate(SERIES))):
        text = text.replace(color, f"var(--{name})")
    return Markup(text)
