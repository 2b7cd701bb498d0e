"""HMDB-51: 153 files ``<class>_test_split<k>.txt`` that tag each clip for training (1), test (2) or neither (0)."""

import re

from stica_pv.data.sources.list_text import numbered_lines
from stica_pv.data.sources.media_folder import join, listed
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

SUBFOLDERS = ("", "testTrainMulti_7030_splits", "test_train_splits", "splits", "annotations")
CLASSES = 51
_FILE = re.compile(r"(.+)_test_split(\d)\.txt")
_TAGS = {"train": "1", "test": "2"}


def parse_hmdb51(folder: str, split: str) -> Listing:
    """Read the 51 lists of a split; labels follow the sorted names of the classes."""
    lists_folder, class_names = _find_lists(folder, split[-1])
    entries: list[Entry] = []
    labels: list[int] = []
    for label, class_name in enumerate(class_names):
        for where, line in numbered_lines(join(lists_folder, f"{class_name}_test_split{split[-1]}.txt")):
            name, _, tag = line.rpartition(" ")
            if tag not in ("0", "1", "2") or not name:
                raise UsageError(f"{where}: expected a name and 0, 1 or 2, got {line!r}")
            if tag == _TAGS[split[:-1]]:
                entries.append(Entry((name.strip().rpartition(".")[0],), class_name))
                labels.append(label)
    return Listing(f"{lists_folder}/*_test_split{split[-1]}.txt", entries, class_names, labels)


def _find_lists(folder: str, number: str) -> tuple[str, tuple[str, ...]]:
    """Return the folder of the lists of a split, and their classes."""
    names = listed(folder)
    for subfolder in SUBFOLDERS:
        if subfolder and subfolder not in names:
            continue
        found = [_FILE.fullmatch(name) for name in (listed(join(folder, subfolder)) if subfolder else names)]
        classes = tuple(sorted(file[1] for file in found if file and file[2] == number))
        if classes:
            if len(classes) != CLASSES:
                raise UsageError(
                    f"{join(folder, subfolder)} holds {len(classes)} of the {CLASSES} lists of split {number}"
                )
            return (join(folder, subfolder) if subfolder else folder), classes
    raise UsageError(
        f"there is no brush_hair_test_split{number}.txt in {folder} or {', '.join(SUBFOLDERS[1:])} in it; "
        "set DATA.PATH_TO_DATA_DIR to the folder of the 153 lists, or to its parent"
    )


SOURCES.named("hmdb51")(
    OfficialSet(
        parse_hmdb51,
        splits=tuple(f"{kind}{k}" for k in (1, 2, 3) for kind in ("train", "test")),
        folds={str(k): (f"train{k}", f"test{k}") for k in (1, 2, 3)},
        # Film, then action, visible parts, camera, people, direction, quality: Veoh_Alpha_Dog_1_walk_f_nm_np1_ba_med_5.
        group_pattern=r"(?:^|/)([^/]+?)_[hulf]_(?:cm|nm)_np\d+_(?:fr|ba|le|ri)_(?:goo|med|bad)_\d+\.",
    )
)
