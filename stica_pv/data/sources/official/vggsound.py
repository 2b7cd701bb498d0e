"""VGGSound: ``vggsound.csv`` of YouTube's id, second, class and split, without a heading."""

from stica_pv.data.sources.official.list_files import csv_rows, find_list, whole
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

SUBFOLDERS = ("annotations", "data")


def parse_vggsound(folder: str, split: str) -> Listing:
    """Read a split; labels follow the sorted names of all classes in the list."""
    path = find_list(folder, ["vggsound.csv"], SUBFOLDERS)
    rows: list[tuple[str, int, str]] = []
    class_names: set[str] = set()
    for where, row in csv_rows(path):
        if len(row) != 4 or row[3] not in ("train", "test"):
            raise UsageError(f"{where}: expected 'id,second,class,train|test', got {','.join(row)!r}")
        class_names.add(row[2])
        if row[3] == split:
            rows.append((row[0], whole(row[1], where), row[2]))
    label_of = {name: label for label, name in enumerate(sorted(class_names))}
    # Names of downloads: the id, and possibly the second in six digits (as in Kinetics) or as a plain number.
    entries = [Entry((f"{clip}_{second:06d}", f"{clip}_{second:06d}_{second + 10:06d}", f"{clip}_{second}", clip), name)
               for clip, second, name in rows]  # fmt: skip
    return Listing(path, entries, tuple(label_of), [label_of[name] for *_, name in rows])


SOURCES.named("vggsound")(
    OfficialSet(
        parse_vggsound,
        splits=("train", "test"),
        folds={"test": ("train", "test")},
        group_pattern=r"(?:^|/)(?P<source>[\w-]{11})(?:_\d+){0,2}\.\w+$",
    )
)
