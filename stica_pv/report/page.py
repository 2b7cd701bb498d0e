"""Writes self-contained HTML pages: sections in one template, light and dark, for a screen, a phone and paper."""

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

Cell = str | float | None  # a Markup is a str that is shown as it is, any other str is escaped
DIGITS = 4


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        title: Heading; also its line in the list of contents.
        html: What stands below it; made by `fragment`, `table` and the like, so that names in it are escaped.
        intro: Plain sentences above it: what is to be seen, and how to read it.
    """

    title: str
    html: Markup
    intro: str = ""


def write_page(path: Path, title: str, sections: Sequence[Section], *, subtitle: str = "") -> Path:
    """Writes one HTML file that needs nothing beside it.

    Args:
        path: The file; its folder is made.
        title: Heading of the page and name of its tab.
        sections: In their order.
        subtitle: A line below the title.

    Returns:
        `path`.

    Raises:
        UsageError: The file cannot be written.
    """
    values = {"title": title, "subtitle": subtitle, "sections": sections, "version": __version__}
    if path.is_dir():
        raise UsageError(f"the page {path} cannot be written: it is a folder, expected the name of a file")
    text = fragment("page.html", **values, anchors=[f"part-{number}" for number in range(1, len(sections) + 1)])
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Names of files may hold bytes that are no text; a page shows a question mark for them.
        partial.write_text(text.replace("\0", ""), encoding="utf-8", errors="replace")
        partial.replace(path)
    except OSError as error:
        raise UsageError(f"the page {path} cannot be written: {error.strerror or error}") from error
    return path


def fragment(template: str, **values: object) -> Markup:
    """Fills a template of this package; every value is escaped unless it is Markup."""
    return Markup(_environment().get_template(template).render(**values))


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "", folded: str = "") -> Markup:
    """Makes a table; numbers stand to the right with four digits, None is an empty cell.

    Args:
        columns: Headings.
        rows: One cell for each column; text is escaped, Markup is not.
        caption: A line above the table.
        folded: Words to click at; the table is folded away until then. "": it is always open.
    """
    shown = [[(show(cell), isinstance(cell, int | float)) for cell in row] for row in rows]
    return fragment("table.html", columns=columns, rows=shown, caption=caption, folded=folded)


def show(cell: Cell) -> str:
    """Returns a cell as text: whole numbers as they are, others with four digits."""
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
    """Puts pieces one below the other."""
    return Markup("\n").join(parts)


def missing(sentences: Iterable[str]) -> Markup:
    """Says what is not there."""
    return fragment("missing.html", sentences=list(sentences))


@cache
def _environment() -> Environment:
    loader = PackageLoader("stica_pv.report")
    made = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["breakable"] = breakable
    return made


def breakable(text: str) -> Markup:
    """Lets a browser break a long name or path, but no number, behind its joints, to fit a narrow page."""
    if isinstance(text, Markup):
        return text
    pieces = [piece for piece in re.split(r"(?<=[/_=])|(?<=[-.,])(?!\d)", str(text)) if piece]
    return Markup("<wbr>").join(pieces)
