"""Self-contained HTML pages: sections in one template, light and dark, for screens, phones and print."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from stica_pv import __version__
from stica_pv.errors import UsageError
from stica_pv.partial_file import partial_file

Cell = str | float | None  # Markup is inserted unchanged, any other str is escaped
DIGITS = 4


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        title: Heading, also used in the table of contents.
        html: Content, made by `fragment`, `table` and similar functions, which escape names.
        intro: Plain text above the content that explains it.
        quiet: Whether the heading is only in the table of contents and for screen readers.
    """

    title: str
    html: Markup
    intro: str = ""
    quiet: bool = False


def write_page(
    path: Path,
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    facts: Sequence[tuple[str, str]] = (),
) -> Path:
    """Write one self-contained HTML file.

    Args:
        path: Output file; its folder is created.
        title: Heading and title of the page.
        sections: Sections in order.
        subtitle: Line below the title.
        facts: Names and values to show beside the title.

    Returns:
        `path`.

    Raises:
        UsageError: The file cannot be written.
    """
    values = {"title": title, "subtitle": subtitle, "facts": facts, "sections": sections, "version": __version__}
    if path.is_dir():
        raise UsageError(f"the page {path} cannot be written: expected a file name, got a folder")
    text = fragment("page.html", **values, anchors=anchors_of([section.title for section in sections]))
    try:
        with partial_file(path) as partial:
            # File names may hold bytes that are not UTF-8; the page shows question marks instead.
            partial.write_text(text.replace("\0", ""), encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"the page {path} cannot be written: {error.strerror or error}") from error
    return path


def anchors_of(titles: Sequence[str]) -> list[str]:
    """Return a unique name for the link to each heading, the same for the same headings."""
    found: list[str] = []
    for number, title in enumerate(titles, 1):
        name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "part"
        found.append(f"{name}-{number}" if name in found else name)
    return found


def fragment(template: str, **values: object) -> Markup:
    """Render a template of this package; every value is escaped unless it is Markup."""
    return Markup(_environment().get_template(template).render(**values))


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "", folded: str = "") -> Markup:
    """Build a table; numbers are right-aligned with four digits, None is an empty cell.

    Args:
        columns: Headings.
        rows: One cell for each column; text is escaped, Markup is not.
        caption: A line above the table.
        folded: Label of a folded table; empty: the table is always open.
    """
    shown = [[(show(cell), isinstance(cell, int | float)) for cell in row] for row in rows]
    of_numbers = [any(row[column][1] for row in shown) for column in range(len(columns))]
    heads = list(zip(columns, of_numbers, strict=True))
    return fragment("table.html", columns=heads, rows=shown, caption=caption, folded=folded)


def pairs(found: Sequence[tuple[str, str]]) -> Markup:
    """List names with their values, in as many columns as fit."""
    return fragment("pairs.html", pairs=found)


def card(html: Markup, title: str = "") -> Markup:
    """Put content in a card."""
    return fragment("card.html", html=html, title=title)


def grid(parts: Sequence[Markup], kind: str = "grid") -> Markup:
    """Arrange cards in a grid, as many per row as fit.

    Args:
        parts: The cards.
        kind: ``grid``: the cards fill the row; ``grid fill``: those of a last row keep the width of the others;
            ``stack``: one card per row.
    """
    return fragment("grid.html", parts=parts, kind=kind)


def show(cell: Cell) -> str:
    """Return a cell as text: whole numbers unchanged, others with four digits."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool) or not math.isfinite(cell):
        return str(cell)
    if float(cell).is_integer() and abs(cell) < 1e15:
        return f"{int(cell):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{cell:.{DIGITS}g}"


def join(parts: Iterable[Markup]) -> Markup:
    """Join pieces vertically."""
    return Markup("\n").join(parts)


def missing(sentences: Iterable[str]) -> Markup:
    """Render notes about missing content."""
    return fragment("missing.html", sentences=list(sentences))


@cache
def _environment() -> Environment:
    loader = PackageLoader("stica_pv.report")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["breakable"] = breakable
    return made


def breakable(text: str) -> Markup:
    """Allow line breaks in long names and paths, but not in numbers, for narrow pages."""
    if isinstance(text, Markup):
        return text
    pieces = [piece for piece in re.split(r"(?<=[/_=])|(?<=[-.,])(?!\d)", str(text)) if piece]
    return Markup("<wbr>").join(pieces)
