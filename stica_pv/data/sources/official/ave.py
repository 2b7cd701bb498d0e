"""AVE, audio-visual events: ``trainSet.txt``, ``valSet.txt`` and ``testSet.txt`` of class, YouTube's id and seconds."""

import logging

from stica_pv.data.sources.list_text import numbered_lines
from stica_pv.data.sources.official.list_files import find_list
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

logger = logging.getLogger(__name__)

SUBFOLDERS = ("AVE_Dataset", "annotations", "data")
HEADING = "Category&VideoID&Quality&StartTime&EndTime"
_SPLITS = ("test", "val", "train")  # a video in several lists belongs to the first of these


def parse_ave(folder: str, split: str) -> Listing:
    """Read a split; labels follow the sorted names of the classes of all three lists.

    A video with several lines, in one list or in several, counts once: otherwise it would have two classes, or be on
    both sides of a fold. It belongs to the test list before the others, with its first class; the log has the number.
    """
    paths = {name: find_list(folder, [f"{name}Set.txt"], SUBFOLDERS) for name in _SPLITS}
    rows = {name: _rows(path) for name, path in paths.items()}
    label_of = {name: label for label, name in enumerate(sorted({row[0] for some in rows.values() for row in some}))}
    taken = {clip for name in _SPLITS[: _SPLITS.index(split)] for _, clip in rows[name]}
    class_of: dict[str, str] = {}
    for class_name, clip in rows[split]:
        if clip not in taken:
            class_of.setdefault(clip, class_name)
    if len(class_of) < len(rows[split]):
        logger.warning(
            "%s: %d of %d lines are left out: their video is in a line before, or in a list that is tested on",
            *(paths[split], len(rows[split]) - len(class_of), len(rows[split])),
        )
    entries = [Entry((clip,), class_name) for clip, class_name in class_of.items()]
    return Listing(paths[split], entries, tuple(label_of), [label_of[name] for name in class_of.values()])


def _rows(path: str) -> list[tuple[str, str]]:
    """Return class and YouTube's id of each line."""
    found = []
    for where, line in numbered_lines(path):
        cells = line.split("&")
        if len(cells) != HEADING.count("&") + 1 or not all(cells[:2]):
            raise UsageError(f"{where}: expected {HEADING}, got {line!r}")
        if line != HEADING:
            found.append((cells[0].strip(), cells[1].strip()))
    return found


SOURCES.named("ave")(
    OfficialSet(
        parse_ave,
        splits=("train", "val", "test"),
        folds={"test": ("train", "test")},
        group_pattern=r"(?:^|/)(?P<source>[\w-]{11})\.\w+$",
    )
)
