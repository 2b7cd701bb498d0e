"""AudioSet: csv files of segments with several classes each, and ``class_labels_indices.csv``."""

from stica_pv.data.sources.official.list_files import csv_columns, csv_rows, find_list, label_in, whole
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

SUBFOLDERS = ("annotations", "csv", "metadata")
_FILES = {
    "train": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}


def parse_audioset(folder: str, split: str) -> Listing:
    """Read a split; a segment has one class or several."""
    class_names, label_of = _classes(find_list(folder, ["class_labels_indices.csv"], SUBFOLDERS))
    path = find_list(folder, [_FILES[split]], SUBFOLDERS)
    entries: list[Entry] = []
    tags: list[tuple[int, ...]] = []
    for where, row in csv_rows(path, comment="#"):
        if len(row) != 4:
            raise UsageError(f"{where}: expected 'id, start, end, \"class,class\"', got {','.join(row)!r}")
        clip, start, end = row[0], whole(row[1], where), whole(row[2], where)
        # Names of downloads: the id, possibly after a Y, and possibly start and end, or start, in six digits, s or ms.
        pairs = ((f"{start:06d}", f"{end:06d}"), (str(start), str(end)), (str(1000 * start), str(1000 * end)))
        stems = (*(f"{clip}_{a}_{b}" for a, b in pairs), *(f"{clip}_{a}" for a, _ in pairs))
        entries.append(Entry((clip, *stems, f"Y{clip}")))
        tags.append(tuple(sorted({label_in(label_of, one.strip(), where) for one in row[3].split(",")})))
    return Listing(path, entries, class_names, tags=tags)


def _classes(path: str) -> tuple[tuple[str, ...], dict[str, int]]:
    """Return the names by label, and the label by the id of a class, as /m/09x0r."""
    columns = csv_columns(path, ("index", "mid", "display_name"))
    if columns["index"] != [str(number) for number in range(len(columns["index"]))]:
        raise UsageError(f"{path}: expected the indices 0, 1, 2, … in this order")
    return tuple(columns["display_name"]), {name: label for label, name in enumerate(columns["mid"])}


SOURCES.named("audioset")(
    OfficialSet(
        parse_audioset,
        splits=("train", "unbalanced", "eval"),
        folds={"eval": ("train", "eval")},
        group_pattern=r"(?:^|/)Y?(?P<source>[\w-]{11})(?:_\d+){0,2}\.\w+$",
    )
)
