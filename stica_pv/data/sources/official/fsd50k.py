"""FSD50K: ``dev.csv`` and ``eval.csv`` of recordings with several classes each, and ``vocabulary.csv``."""

from stica_pv.data.sources.official.list_files import csv_columns, csv_rows, find_list, label_in
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

SUBFOLDERS = ("FSD50K.ground_truth",)


def parse_fsd50k(folder: str, split: str) -> Listing:
    """Read a split; ``dev`` is ``train`` and ``val`` together.

    Args:
        folder: Folder of the lists.
        split: train, val, dev or eval.
    """
    label_of = _classes(find_list(folder, ["vocabulary.csv"], SUBFOLDERS))
    path = find_list(folder, ["eval.csv" if split == "eval" else "dev.csv"], SUBFOLDERS)
    columns = csv_columns(path, ("fname", "labels") if split == "eval" else ("fname", "labels", "split"))
    parts = columns.get("split", ["eval"] * len(columns["fname"]))
    unknown = set(parts) - {"train", "val", "eval"}
    if unknown:
        raise UsageError(f"{path}: expected the split train or val, got {min(unknown)!r}")
    entries: list[Entry] = []
    tags: list[tuple[int, ...]] = []
    for name, labels, part in zip(columns["fname"], columns["labels"], parts, strict=True):
        if split in (part, "dev"):
            entries.append(Entry((name,)))
            tags.append(tuple(sorted({label_in(label_of, one, f"{path}, {name}") for one in labels.split(",")})))
    return Listing(path, entries, tuple(label_of), tags=tags)


def _classes(path: str) -> dict[str, int]:
    """Return the labels by class, from rows of number, class and the id of AudioSet's ontology, without a heading."""
    names: dict[str, int] = {}
    for where, row in csv_rows(path):
        if len(row) != 3 or row[0] != str(len(names)) or row[1] in names:
            raise UsageError(f"{where}: expected '{len(names)},class,id', got {','.join(row)!r}")
        names[row[1]] = len(names)
    return names


SOURCES.named("fsd50k")(
    OfficialSet(parse_fsd50k, splits=("train", "val", "dev", "eval"), folds={"eval": ("dev", "eval")})
)
