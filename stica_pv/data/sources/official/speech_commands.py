"""Speech Commands: a folder for each spoken command, ``validation_list.txt`` and ``testing_list.txt``.

Recordings in neither list are for training.
"""

from stica_pv.data.sources.list_text import numbered_lines
from stica_pv.data.sources.media_folder import media_files
from stica_pv.data.sources.official.list_files import find_list, label_in
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.data.sources.video_list import relative_names
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

_FILES = {"val": "validation_list.txt", "test": "testing_list.txt"}


def parse_speech_commands(folder: str, split: str) -> Listing:
    """Read a split; classes are the folders with recordings, except those such as ``_background_noise_``.

    Args:
        folder: Folder of the lists and of the class folders.
        split: train, val or test.
    """
    paths = {name: find_list(folder, [file]) for name, file in _FILES.items()}
    recordings = [name for name in relative_names(folder, media_files(folder)) if _is_command(name)]
    if not recordings:
        raise UsageError(
            f"{folder} has no recordings in class folders: set DATA.PATH_TO_DATA_DIR to the unpacked archive"
        )
    label_of = {name: label for label, name in enumerate(sorted({name.split("/")[0] for name in recordings}))}
    if split == "train":
        listed = {line for path in paths.values() for _, line in numbered_lines(path)}
        source, names = folder, [(folder, name) for name in recordings if name not in listed]
    else:
        source = paths[split]
        names = list(numbered_lines(source))
    entries: list[Entry] = []
    labels: list[int] = []
    for where, name in names:
        class_name, slash, file = name.partition("/")
        if not slash:
            raise UsageError(f"{where}: expected class/recording.wav, got {name!r}")
        entries.append(Entry((file.rpartition(".")[0],), class_name))
        labels.append(label_in(label_of, class_name, where))
    return Listing(source, entries, tuple(label_of), labels)


def _is_command(name: str) -> bool:
    return name.count("/") == 1 and not name.startswith("_")


SOURCES.named("speech_commands")(
    OfficialSet(
        parse_speech_commands,
        splits=("train", "val", "test"),
        folds={"test": ("train", "test")},
        group_pattern=r"(?:^|/)(?P<source>[0-9a-f]+)_nohash_\d+\.\w+$",  # the speaker
    )
)
