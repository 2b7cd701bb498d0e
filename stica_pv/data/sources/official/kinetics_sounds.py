"""Kinetics-Sounds: the classes of Kinetics-400 that can be heard, from the lists of Kinetics-400.

Arandjelović & Zisserman (ICCV 2017) chose 34 classes of an early version of Kinetics; 32 are left in Kinetics-400.
"""

from stica_pv.data.sources.list_text import numbered_lines
from stica_pv.data.sources.official.kinetics import SUBFOLDERS, parse_kinetics
from stica_pv.data.sources.official.list_files import first_list
from stica_pv.data.sources.official.official_set import Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

CLASSES = (
    "blowing nose", "blowing out candles", "bowling", "chopping wood", "dribbling basketball", "laughing",
    "mowing lawn", "playing accordion", "playing bagpipes", "playing bass guitar", "playing clarinet",
    "playing drums", "playing guitar", "playing harmonica", "playing keyboard", "playing organ", "playing piano",
    "playing saxophone", "playing trombone", "playing trumpet", "playing violin", "playing xylophone",
    "ripping paper", "shoveling snow", "shuffling cards", "singing", "stomping grapes", "strumming guitar",
    "tap dancing", "tapping guitar", "tapping pen", "tickling",
)  # fmt: skip
LIST = "kinetics_sounds.txt"


def parse_kinetics_sounds(folder: str, split: str) -> Listing:
    """Read a split of Kinetics-400, and keep the classes of ``kinetics_sounds.txt`` if there is one, else `CLASSES`.

    Labels follow the sorted names of these classes.
    """
    listing = parse_kinetics(folder, split, classes=400)
    if listing.labels is None:
        raise UsageError(f"{listing.source} has no column label: the classes of Kinetics-Sounds cannot be chosen")
    own = first_list(folder, [LIST], SUBFOLDERS)
    chosen = sorted({line for _, line in numbered_lines(own)} if own else CLASSES)
    label_of = {name: label for label, name in enumerate(chosen)}
    pairs = zip(listing.entries, map(listing.class_names.__getitem__, listing.labels), strict=True)
    kept = [(entry, label_of[name]) for entry, name in pairs if name in label_of]
    if not kept:
        raise UsageError(f"{listing.source} has none of the {len(chosen)} classes such as {chosen[0]!r}")
    return Listing(listing.source, [entry for entry, _ in kept], tuple(chosen), [label for _, label in kept])


SOURCES.named("kinetics_sounds")(
    OfficialSet(
        parse_kinetics_sounds,
        splits=("train", "val", "test"),
        folds={"val": ("train", "val")},
        group_pattern=r"(?:^|/)(?P<source>[\w-]{11})(?:_\d{6}_\d{6})?\.\w+$",
    )
)
