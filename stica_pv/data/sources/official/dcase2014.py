"""Acoustic scenes of DCASE (2013/14, ten classes), from lists of lines ``name<tab>class`` or from file names."""

import os
import re

from stica_pv.data.sources.list_text import numbered_lines
from stica_pv.data.sources.media_folder import join, media_files
from stica_pv.data.sources.official.list_files import first_list
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

CLASSES = (
    "bus", "busystreet", "office", "openairmarket", "park", "quietstreet", "restaurant", "supermarket", "tube",
    "tubestation",
)  # fmt: skip
_LISTS = {"train": ("train.txt", "fold1_train.txt"), "test": ("test.txt", "evaluate.txt", "fold1_evaluate.txt")}
_FOLDERS = {"train": ("train", "scenes_stereo"), "test": ("test", "scenes_stereo_testset")}
_NAME = re.compile(r"([a-z]+)[_-]?\d+")


def parse_dcase2014(folder: str, split: str) -> Listing:
    """Read ``train.txt`` or ``test.txt``; without one, takes the recordings of the split's folder by their names."""
    path = first_list(folder, _LISTS[split], ("evaluation_setup",))
    if path is None:
        return _from_names(folder, split)
    entries: list[Entry] = []
    labels: list[int] = []
    for where, line in numbered_lines(path):
        name, tab, class_name = line.partition("\t")
        if not tab or class_name.strip() not in CLASSES:
            raise UsageError(f"{where}: expected a name, a tab and one of {', '.join(CLASSES)}, got {line!r}")
        parent, _, file = name.strip().rpartition("/")
        entries.append(Entry((file.rpartition(".")[0],), parent.rpartition("/")[2]))
        labels.append(CLASSES.index(class_name.strip()))
    return Listing(path, entries, CLASSES, labels)


def _from_names(folder: str, split: str) -> Listing:
    """Take ``bus01.wav`` for a recording of the class bus."""
    media_folder = next((join(folder, name) for name in _FOLDERS[split] if os.path.isdir(join(folder, name))), None)
    if media_folder is None:
        raise UsageError(
            f"{folder} has neither a list {' or '.join(_LISTS[split])} (also in evaluation_setup/) nor a folder "
            f"{' or '.join(_FOLDERS[split])}; set DATA.PATH_TO_DATA_DIR to the folder of one of them"
        )
    entries: list[Entry] = []
    labels: list[int] = []
    for path in media_files(media_folder):
        stem = path.rpartition("/")[2].rpartition(".")[0]
        found = _NAME.fullmatch(stem)
        if not found or found[1] not in CLASSES:
            raise UsageError(f"{path}: expected a name like bus01, with one of {', '.join(CLASSES)}, or a list")
        entries.append(Entry((stem,), path.split("/")[-2]))
        labels.append(CLASSES.index(found[1]))
    return Listing(media_folder, entries, CLASSES, labels)


SOURCES.named("dcase2014")(OfficialSet(parse_dcase2014, splits=("train", "test"), folds={"test": ("train", "test")}))
