"""Test clips with their nearest neighbors: a few for the summary, and failures first in the gallery."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup
from torch import Tensor

from stica_pv.evaluation.requests import Modality
from stica_pv.report.charts import NEUTRAL, Bar, BarGroup, bars_of, series_style
from stica_pv.report.page import Section, card, fragment
from stica_pv.report.search import ITSELF, OTHER, SAME_CLASS, Direction, Found, queries_to_show, spread_queries
from stica_pv.report.thumbnails import SIDE, Kind, Thumbnails

NEIGHBORS, QUERIES, REPORT_QUERIES = 5, 12, 6
HIGHLIGHTS, HIGHLIGHT_NEIGHBORS = 6, 3
MARKS = {OTHER: "✗ other class", SAME_CLASS: "✓ same class", ITSELF: "★ the clip itself"}
_QUERY = '<div class="query">'  # as in gallery.html
IMAGES: dict[Modality, Kind] = {"video": "animation", "audio": "spectrogram"}


@dataclass(frozen=True)
class Gallery:
    """Test clips of a run on a page.

    Attributes:
        sections: Sections of the gallery.
        highlights: A few clips with their neighbors, for the summary; its media are in the sections.
    """

    sections: Sequence[Section] = field(default=())
    highlights: Markup = Markup("")


@dataclass(frozen=True)
class ModelNeighbors:
    """The neighbors that one model finds in one direction."""

    name: str
    found: Found


def holds_gallery(page: Path) -> bool:
    """Return whether a page exists and shows a retrieval gallery."""
    return page.is_file() and _QUERY in page.read_text(encoding="utf-8", errors="replace")


def highlights_of(direction: Direction, found: Found, thumbnails: Thumbnails) -> Markup:
    """Render test clips, spread over the classes whatever the result, with the neighbors by the trained network."""
    rows = spread_queries([thumbnails.label(item) for item in found.queries.tolist()], HIGHLIGHTS)
    shown = []
    for row in rows:
        query, answers = _query(row, direction, found, thumbnails, brief=True)
        shown.append((query, answers[:HIGHLIGHT_NEIGHBORS]))
    where = "among the training clips" if direction.in_training else "among the same test clips"
    note = f"query → nearest {_medium(direction.gallery)} {where}; clips spread over the classes, not chosen by result"
    return fragment("highlights.html", title="Test clips and their nearest neighbors", note=note, rows=shown)


def gallery_of(
    direction: Direction,
    answers: Sequence[ModelNeighbors],
    thumbnails: Thumbnails,
    count: int = QUERIES,
) -> Markup:
    """Render queries with the neighbors that each model finds; the first model decides which queries.

    Args:
        direction: Direction of the search.
        answers: Neighbors by model, all for the same queries.
        thumbnails: Source of the clips; the page must include its store.
        count: Maximum number of queries to show.
    """
    first = answers[0].found
    rows = queries_to_show(first, count).tolist()
    shown = [_row(row, direction, answers, thumbnails) for row in rows]
    hits = first.hits[rows].tolist()
    wrong, right = ([one for one, hit in zip(shown, hits, strict=True) if hit is kind] for kind in (False, True))
    missed, total = int((~first.hits).sum()), len(first.queries)
    groups = [
        (
            f"{len(wrong)} of the {missed} queries with a nearest neighbor of another class, most confident first",
            wrong,
        ),
        (f"{len(right)} of the {total - missed} queries with a correct nearest neighbor", right),
    ]
    intro, summary = _intro(direction, first), _summary(answers)
    return card(fragment("gallery.html", title=direction.name, intro=intro, summary=summary, groups=groups))


def _intro(direction: Direction, found: Found) -> str:
    among = "among the training clips" if direction.in_training else "among the same test clips"
    text = (
        f"For each of {len(found.queries)} test clips, its {_medium(direction.query)} is the query for the nearest "
        f"{_medium(direction.gallery)} {among} ({direction.processing} features, {direction.metric})."
    )
    if found.unreadable:
        text += f" {found.unreadable} clips without features are left out."
    return text


def _medium(modality: Modality) -> str:
    return {"video": "video", "audio": "audio"}[modality]


def _summary(answers: Sequence[ModelNeighbors]) -> Markup:
    def share(marks: Tensor, least: int) -> float:
        return round(100 * float((marks[:, 0] >= least).double().mean()), 1)

    counted = [("nearest neighbor of the same class", SAME_CLASS)]
    if any(share(one.found.marks, ITSELF) for one in answers):
        counted.append(("nearest neighbor is the clip itself", ITSELF))
    groups = []
    for title, least in counted:
        bars = [
            Bar(one.name, share(one.found.marks, least), NEUTRAL if number else series_style(0), first=not number)
            for number, one in enumerate(answers)
        ]
        groups.append(BarGroup(f"{title}, % of {len(answers[0].found.queries)}", bars))
    return bars_of(groups, top=100.0)


def _row(row: int, direction: Direction, answers: Sequence[ModelNeighbors], thumbnails: Thumbnails) -> dict[str, Any]:
    by_model = [(one.name, _query(row, direction, one.found, thumbnails)[1]) for one in answers]
    query = _query(row, direction, answers[0].found, thumbnails)[0]
    name = thumbnails.name(int(answers[0].found.queries[row]))
    return {"query": query, "name": name, "answers": by_model}


def _query(
    row: int, direction: Direction, found: Found, thumbnails: Thumbnails, *, brief: bool = False
) -> tuple[Markup, list[Markup]]:
    """Render a query and its neighbors; a brief neighbor has one line."""
    items, marks, similarity = (value[row].tolist() for value in (found.neighbors, found.marks, found.similarity))
    neighbors = [
        _cell(item, direction.gallery, thumbnails, mark, f"{direction.metric} {value:.2f}", brief=brief)
        for item, mark, value in zip(items, marks, similarity, strict=True)
    ]
    return _cell(int(found.queries[row]), direction.query, thumbnails), neighbors


def _cell(
    item: int,
    modality: Modality,
    thumbnails: Thumbnails,
    mark: int | None = None,
    similarity: str = "",
    *,
    brief: bool = False,
) -> Markup:
    name = thumbnails.name(item)
    what = {"video": "animation", "audio": "spectrogram of the audio"}[modality]
    shown = {
        "image": thumbnails.get(item, IMAGES[modality]),
        "audio": thumbnails.get(item, "audio") if modality == "audio" else None,
        "alt": f"{what} of {name}",
        "absent": thumbnails.failed.get(item, "no image"),
        "name": name,
        "label": thumbnails.label(item),
        "mark": "" if mark is None else MARKS[mark][0] if brief else MARKS[mark],
        "meaning": "" if mark is None else f"{MARKS[mark][2:]}, {similarity}",
        "brief": brief,
        "kind": "" if mark is None else "wrong" if mark == OTHER else "right",
        "similarity": similarity,
    }
    return fragment("found.html", one=shown, side=SIDE)
