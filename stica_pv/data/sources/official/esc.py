"""ESC-50 and its subset ESC-10: audio files of ``esc50.csv`` in five folds; each fold is the test list once."""

from functools import partial

from stica_pv.data.sources.official.list_files import csv_columns, find_list
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

SUBFOLDERS = ("meta",)
_FOLDS = ("1", "2", "3", "4", "5")


def parse_esc(folder: str, split: str, *, classes: int) -> Listing:
    """Read a fold (``fold1``) or all others (``not1``); the ten classes of ESC-10 are numbered in the order of ESC-50.

    Args:
        folder: Folder of the list.
        split: fold1 … fold5, not1 … not5.
        classes: 50 or 10.
    """
    path = find_list(folder, ["esc50.csv"] if classes == 50 else ["esc10.csv", "esc50.csv"], SUBFOLDERS)
    columns = csv_columns(path, ("filename", "fold", "target", "category", "esc10"))
    rows = [
        row
        for row in zip(*(columns[name] for name in ("filename", "fold", "target", "category", "esc10")), strict=True)
        if classes == 50 or row[4].lower() == "true"
    ]
    for name, fold, target, _, _ in rows:
        if fold not in _FOLDS or not target.isdecimal():
            raise UsageError(f"{path}: {name}: expected a fold 1 to 5 and a target 0, 1, 2, …, got {fold} and {target}")
    targets = {int(target): category for _, _, target, category, _ in rows}
    if len(targets) != classes:
        raise UsageError(f"{path}: expected {classes} classes, got {len(targets)}")
    label_of = {target: label for label, target in enumerate(sorted(targets))}
    kept = [row for row in rows if (row[1] == split[-1]) == split.startswith("fold")]
    return Listing(
        path,
        [Entry((name.rpartition(".")[0],)) for name, *_ in kept],
        tuple(targets[target] for target in label_of),
        [label_of[int(target)] for _, _, target, _, _ in kept],
    )


for _classes in (50, 10):
    SOURCES.named(f"esc{_classes}")(
        OfficialSet(
            partial(parse_esc, classes=_classes),
            splits=tuple(f"{kind}{k}" for k in _FOLDS for kind in ("fold", "not")),
            folds={k: (f"not{k}", f"fold{k}") for k in _FOLDS},
            group_pattern=r"(?:^|/)\d-(?P<source>\d+)-[A-Z]",  # fold, recording at Freesound, take
        )
    )
