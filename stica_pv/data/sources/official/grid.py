"""GRID: sentences of six words by one or several speakers; file names such as ``bbaf2n`` spell them.

A data set for each word: ``grid_command``, ``grid_color``, ``grid_preposition``, ``grid_letter``, ``grid_digit`` and
``grid_adverb`` have the same files and the same split, and the word as class.
"""

import hashlib
import string
from collections.abc import Mapping, Sequence
from functools import partial

from stica_pv.data.sources.media_folder import media_files
from stica_pv.data.sources.official.list_files import csv_columns, first_list
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Words by their letter in a file name, in the order of the labels (Cooke et al., JASA 2006).
CATEGORIES: Mapping[str, Mapping[str, str]] = {
    "command": {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    "color": {"b": "blue", "g": "green", "r": "red", "w": "white"},
    "preposition": {"a": "at", "b": "by", "i": "in", "w": "with"},
    "letter": {letter: letter for letter in string.ascii_lowercase if letter != "w"},
    "digit": {("z" if number == 0 else str(number)): name for number, name in enumerate(_DIGITS)},
    "adverb": {"a": "again", "n": "now", "p": "please", "s": "soon"},
}
LIST = "clips.csv"
TEST_ONE_IN = 5
"""Without a list, one sentence in so many is a test sentence."""


def parse_grid(folder: str, split: str, *, category: str) -> Listing:
    """Read the files of a split with one of their words as class.

    ``clips.csv`` with the columns file and split defines the split. Without it, all media files below the folder are
    taken, and a hash of the sentence defines the split: it depends neither on the speaker nor on the other files.

    Args:
        folder: Folder of the list or of the files.
        split: train or test.
        category: A key of `CATEGORIES`.
    """
    path = first_list(folder, [LIST])
    if path is None:
        files, source = media_files(folder), folder
        splits = [split_of(stem_of(file)) for file in files]
    else:
        columns = csv_columns(path, ("file", "split"))
        files, splits, source = columns["file"], columns["split"], path
    _check(files, splits, source)
    kept = [file for file, own in zip(files, splits, strict=True) if own == split]
    labels = list(CATEGORIES[category])
    position = list(CATEGORIES).index(category)
    return Listing(
        source,
        [Entry((stem_of(file),), file.rpartition("/")[0].rpartition("/")[2]) for file in kept],
        tuple(CATEGORIES[category].values()),
        [labels.index(stem_of(file)[position]) for file in kept],
    )


def split_of(sentence: str) -> str:
    """Return the split of a sentence such as ``bbaf2n`` where no list defines it."""
    number = int.from_bytes(hashlib.blake2b(sentence.encode(), digest_size=8).digest())
    return "train" if number % TEST_ONE_IN else "test"


def stem_of(file: str) -> str:
    """Return the name of a file without folder and extension."""
    name = file.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _check(files: Sequence[str], splits: Sequence[str], source: str) -> None:
    for file, split in zip(files, splits, strict=True):
        stem = stem_of(file)
        if len(stem) != len(CATEGORIES) or any(
            c not in letters for c, letters in zip(stem, CATEGORIES.values(), strict=True)
        ):
            raise UsageError(
                f"{source}: {file}: expected a name like bbaf2n, one letter or digit for each of "
                f"{', '.join(CATEGORIES)}"
            )
        if split not in ("train", "test"):
            raise UsageError(f"{source}: {file}: expected the split train or test, got {split!r}")


for _category in CATEGORIES:
    SOURCES.named(f"grid_{_category}")(
        OfficialSet(
            partial(parse_grid, category=_category), splits=("train", "test"), folds={"test": ("train", "test")}
        )
    )
