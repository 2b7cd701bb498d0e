"""UCF-101: ``trainlist0k.txt``, ``testlist0k.txt`` and ``classInd.txt``, three splits."""

from stica_pv.data.sources.list_text import numbered_lines
from stica_pv.data.sources.official.list_files import find_list, label_in
from stica_pv.data.sources.official.official_set import Entry, Listing, OfficialSet
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

SUBFOLDERS = ("ucfTrainTestlist", "annotations")


def parse_ucf101(folder: str, split: str) -> Listing:
    """Read a split; the classes of a test list are its folders, those of a training list are checked against them."""
    label_of = _classes(find_list(folder, ["classInd.txt"], SUBFOLDERS))
    path = find_list(folder, [f"{split[:-1]}list0{split[-1]}.txt"], SUBFOLDERS)
    entries: list[Entry] = []
    labels: list[int] = []
    for where, line in numbered_lines(path):
        name, _, number = line.partition(" ")
        class_name, slash, file = name.partition("/")
        if not slash:
            raise UsageError(f"{where}: expected 'Class/v_Class_g01_c01.avi' and in training lists a number: {line!r}")
        label = label_in(label_of, class_name, where)
        if number and number.strip() != str(label + 1):
            raise UsageError(f"{where}: classInd.txt has {label + 1} for {class_name}, the list has {number.strip()}")
        entries.append(Entry((file.rpartition(".")[0],), class_name))
        labels.append(label)
    return Listing(path, entries, tuple(label_of), labels)


def _classes(path: str) -> dict[str, int]:
    """Return the labels from 0 on, by class."""
    names: dict[str, int] = {}
    for where, line in numbered_lines(path):
        number, _, name = line.partition(" ")
        if number != str(len(names) + 1) or not name.strip():
            raise UsageError(f"{where}: expected '{len(names) + 1} Class', got {line!r}")
        names[name.strip()] = len(names)
    return names


SOURCES.named("ucf101")(
    OfficialSet(
        parse_ucf101,
        splits=tuple(f"{kind}{k}" for k in (1, 2, 3) for kind in ("train", "test")),
        folds={str(k): (f"train{k}", f"test{k}") for k in (1, 2, 3)},
        group_pattern=r"_g(\d+)_c\d+",
    )
)
