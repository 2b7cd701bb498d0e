"""Lists of videos with one JSON object per line: ``{"file": "a.mp4", "class": "guitar"}`` in <folder>/<split>.jsonl."""

import json
from pathlib import Path
from typing import Any

from stica_pv.data.sources.video_list import VideoList
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES


@SOURCES.named("json_lines")
def read_json_lines(*, path: str, split: str = "train") -> VideoList:
    """Reads the list of a split; labels follow the sorted names of the classes.

    Args:
        path: Folder of the lists, DATA.PATH_TO_DATA_DIR; files are named relative to it.
        split: Name of the list.

    Raises:
        UsageError: The list is missing, or a line is malformed.
    """
    file = Path(path) / f"{split}.jsonl"
    if not file.is_file():
        raise UsageError(f"{file}: there is no such list; set DATA.PATH_TO_DATA_DIR to the folder of the lists")
    lines = file.read_text(encoding="utf-8").splitlines()
    entries = [_parse(line, f"{file}, line {number}") for number, line in enumerate(lines, 1)]
    classes = tuple(sorted({entry["class"] for entry in entries}))
    paths = [str(Path(path) / entry["file"]) for entry in entries]
    return VideoList(paths, tuple(classes.index(entry["class"]) for entry in entries), classes, path)


def _parse(line: str, source: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{source}: expected a JSON object, got {line[:60]!r}") from error
    if not isinstance(entry, dict) or not {"file", "class"} <= entry.keys():
        raise UsageError(f'{source}: expected {{"file": …, "class": …}}, got {line[:60]!r}')
    return entry
