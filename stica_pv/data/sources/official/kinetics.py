"""Kinetics-400, 600 and 700: ``train.csv``, ``val.csv`` and ``test.csv`` with YouTube's id and the seconds of clips."""

from functools import partial

from stica_pv.data.sources.list_text import numbered_lines
from stica_pv.data.sources.official.list_files import csv_columns, find_list, first_list, label_in, whole
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

SUBFOLDERS = ("annotations", "labels")


def parse_kinetics(folder: str, split: str, *, classes: int) -> Listing:
    """Read a split.

    Labels follow the file of class names if there is one, else the sorted names in the list. A list of test clips
    without classes gives none.

    Args:
        folder: Folder of the lists.
        split: train, val or test.
        classes: 400, 600 or 700.
    """
    subfolders = (*SUBFOLDERS, f"kinetics{classes}")
    endings = ("val", "validate") if split == "val" else (split,)
    begins = ("", f"kinetics{classes}_", f"kinetics{classes}_2020_", "kinetics_")
    path = find_list(folder, [f"{begin}{ending}.csv" for ending in endings for begin in begins], subfolders)
    columns = csv_columns(path, ("youtube_id", "time_start", "time_end"), ("label",))
    folders = columns.get("label", [""] * len(columns["youtube_id"]))
    entries = [
        Entry((f"{clip}_{whole(start, path):06d}_{whole(end, path):06d}", clip), name)
        for clip, start, end, name in zip(
            columns["youtube_id"], columns["time_start"], columns["time_end"], folders, strict=True
        )
    ]
    if "label" not in columns:
        return Listing(path, entries)
    known = first_list(folder, [f"label_map_k{classes}.txt", "classes.txt", "class_names.txt"], subfolders)
    class_names = _named_classes(known, classes) if known else tuple(sorted(set(columns["label"])))
    label_of = {name: label for label, name in enumerate(class_names)}
    labels = [label_in(label_of, name, path) for name in columns["label"]]
    return Listing(path, entries, class_names, labels)


def _named_classes(path: str, classes: int) -> tuple[str, ...]:
    names = tuple(line for _, line in numbered_lines(path))
    if len(set(names)) != classes:
        raise UsageError(f"{path}: expected {classes} class names, one a line, got {len(set(names))}")
    return names


for _classes in (400, 600, 700):
    SOURCES.named(f"kinetics{_classes}")(
        OfficialSet(
            partial(parse_kinetics, classes=_classes),
            splits=("train", "val", "test"),
            folds={"val": ("train", "val")},
            group_pattern=r"(?:^|/)(?P<source>[\w-]{11})(?:_\d{6}_\d{6})?\.\w+$",
        )
    )
