"""EPIC-Sounds: ``EPIC_Sounds_train.csv`` and ``EPIC_Sounds_validation.csv`` of annotated parts of long videos.

Each part is expected as a file of its own, named by its ``annotation_id``.
"""

from stica_pv.data.sources.official.list_files import csv_columns, find_list
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

SUBFOLDERS = ("epic-sounds-annotations", "annotations")
_FILES = {"train": "EPIC_Sounds_train.csv", "val": "EPIC_Sounds_validation.csv"}
_COLUMNS = ("annotation_id", "class", "class_id")


def parse_epic_sounds(folder: str, split: str) -> Listing:
    """Read a split; labels are the ``class_id`` of the list."""
    paths = {name: find_list(folder, [file], SUBFOLDERS) for name, file in _FILES.items()}
    columns = {name: csv_columns(path, _COLUMNS) for name, path in paths.items()}
    names: dict[int, str] = {}
    for name, path in paths.items():
        for class_name, number in zip(columns[name]["class"], columns[name]["class_id"], strict=True):
            if not number.isdecimal() or names.setdefault(int(number), class_name) != class_name:
                raise UsageError(
                    f"{path}: expected one class for each class_id 0, 1, 2, …, got {number} {class_name!r}"
                )
    class_names = tuple(names.get(label, str(label)) for label in range(max(names) + 1))
    own = columns[split]
    entries = [Entry((clip,)) for clip in own["annotation_id"]]
    return Listing(paths[split], entries, class_names, [int(number) for number in own["class_id"]])


SOURCES.named("epic_sounds")(
    OfficialSet(
        parse_epic_sounds,
        splits=("train", "val"),
        folds={"val": ("train", "val")},
        group_pattern=r"(?:^|/)(?P<source>P\d+_\d+)_\d+\.\w+$",  # the long video
    )
)
