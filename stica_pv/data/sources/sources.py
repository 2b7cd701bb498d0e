"""Data sources for lists of videos: a csv, a folder of class folders, or any folder; see also `official`."""

import itertools
import os
from collections.abc import Sequence

from iopath.common.file_io import g_pathmgr

from stica_pv.data.decoding.tar_entry import files_of
from stica_pv.data.sources.list_text import open_list
from stica_pv.data.sources.media_endings import is_media
from stica_pv.data.sources.media_folder import check_folder, check_set, join, join_all, listed, media_files
from stica_pv.data.sources.video_list import LARGEST_LABEL, VideoList, check_absent, relative_names
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

_QUOTES = ("'", '"')

SPLITS = ("train", "training", "val", "validation", "test", "testing")


@SOURCES.named("csv")
def read_csv(
    *, path: str, split: str = "", prefix: str = "", separator: str = " ", max_absent_share: float = 0.0
) -> VideoList:
    """Read a list of lines ``path label``, as in SlowFast and pytorchvideo; the label may be missing in all of them.

    Args:
        path: The list, a file or URI; or the local folder of ``<split>.csv``.
        split: Name of the list in a folder.
        prefix: Folder of relative paths; "" for the folder of the list.
        separator: Separator of path and label; may also occur in the path, the last one counts.
        max_absent_share: Largest share of the files that may be missing; these are skipped.
    """
    check_set(path)
    if split and os.path.isdir(path):
        path = join(path, f"{split}.csv")
    if g_pathmgr.isdir(path):
        raise UsageError(
            f"{path} is a folder, the csv source needs a file: give the path of the csv, e.g. {join(path, 'train.csv')}"
        )
    if not g_pathmgr.isfile(path):
        raise UsageError(f"there is no list {path}; check DATA.PATH_TO_DATA_DIR and the split")
    root = prefix or _folder_of(path)
    names, labels = _read_lines(path, separator or " ")
    paths = join_all(root, names)
    missing = set(_missing(files_of(paths)))
    absent = [names[index] for index in sorted(missing)]
    hint = _taken_as_name(absent[0], separator or " ") if absent else ""
    check_absent(absent, len(names), source=path, root=root, max_share=max_absent_share, hint=hint)
    classes = tuple(str(label) for label in range(max(labels) + 1)) if labels else ()
    if missing:
        paths = [path for index, path in enumerate(paths) if index not in missing]
        labels = [label for index, label in enumerate(labels) if index not in missing]
    return VideoList(paths, tuple(labels) or None, classes, root, absent=absent)


@SOURCES.named("class_folders")
def read_class_folders(*, path: str, split: str = "") -> VideoList:
    """List ``path[/split]/class/…/video``; labels follow the sorted names of the class folders.

    Args:
        path: Folder of class folders, or of a folder for each split.
        split: Name of the split, if there are folders for splits.
    """
    path = _split_folder(path, split)
    check_folder(path)
    folders = [name for name in listed(path) if g_pathmgr.isdir(join(path, name))]
    if not folders:
        raise UsageError(f"{path} has no class folders; the source 'folder' reads a folder of videos without classes")
    again: dict[str, str] = {}
    files = media_files(path, again)
    classes = [name for name in folders if join(path, name) not in again]
    label_of = {name: label for label, name in enumerate(classes)}
    class_of = [name.partition("/")[0] for name in relative_names(path, files)]
    found = [(file, label_of[name]) for file, name in zip(files, class_of, strict=True) if name in label_of]
    if not found:
        raise UsageError(f"the class folders of {path} have no media files; files outside of them have no class")
    return VideoList(tuple(f for f, _ in found), tuple(label for _, label in found), tuple(classes), path)


@SOURCES.named("folder")
def read_folder(*, path: str) -> VideoList:
    """List all media files below a folder, without labels.

    Args:
        path: The folder.
    """
    check_folder(path)
    return VideoList(media_files(path), None, (), path)


def _read_lines(path: str, separator: str) -> tuple[list[str], list[int]]:
    """Return the names of a list and their labels, no labels if it has none."""
    with open_list(path) as file:
        lines = list(map(str.strip, file.read().split("\n")))
    filled = list(filter(None, lines))
    if not filled:
        raise UsageError(f"the list {path} is empty; expected lines 'path{separator}label'")
    # Fast for large lists: all lines at once, and without a tuple for each, which slows down garbage collection.
    ends, width = list(map(str.rfind, filled, itertools.repeat(separator))), len(separator)
    label_texts = [line[end + width :] for line, end in zip(filled, ends, strict=True)]
    names = [line[:end].strip() if end > 0 else "" for line, end in zip(filled, ends, strict=True)]
    different = set(label_texts)
    if all(names) and all(map(str.isdecimal, different)) and not any(map(_is_too_large, different)):
        number_of = {text: int(text) for text in different}
        return names, list(map(number_of.__getitem__, label_texts))
    return _read_one_by_one(path, lines, separator)


def _read_one_by_one(path: str, lines: Sequence[str], separator: str) -> tuple[list[str], list[int]]:
    """Do the same for lines without labels, and report wrong lines."""
    names: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(lines, start=1):
        if line:
            name, label = _parse(line, separator, f"{path}, line {number}")
            if names and (label is None) == bool(labels):
                raise UsageError(f"{path}, line {number}: either all lines have a label or none: {line!r}")
            names.append(name)
            labels += [] if label is None else [label]
    return names, labels


def _is_too_large(label: str) -> bool:
    return len(label.lstrip("0")) > len(str(LARGEST_LABEL)) or int(label) > LARGEST_LABEL


def _taken_as_name(name: str, separator: str) -> str:
    """Return a hint if a part of a missing name was probably not meant as part of it."""
    begin, _, column = name.rpartition(separator)
    if name[:1] in _QUOTES and name[-1:] == name[:1]:
        return f"; the quotes were taken as part of the name {name}: remove them"
    if begin and is_media(begin) and not is_media(name):
        return f"; {column!r} was taken as part of the name {name!r}: write lines 'path{separator}label', two columns"
    return ""


def _parse(line: str, separator: str, where: str) -> tuple[str, int | None]:
    name, _, label = line.rpartition(separator)
    name, label = name.strip(), label.strip()
    if name and label.isdecimal():
        if _is_too_large(label):
            raise UsageError(f"{where}: expected a label of at most {LARGEST_LABEL}, got {line!r}: is it the class?")
        return name, int(label)
    if is_media(line):
        return line, None
    raise UsageError(
        f"{where}: expected 'path{separator}label' with a label 0, 1, 2, …, got {line!r}; "
        "DATA.PATH_LABEL_SEPARATOR sets the separator"
    )


def _folder_of(path: str) -> str:
    folder, slash, _ = path.rpartition("/")
    return folder + slash if folder.endswith(("/", ":")) else folder or slash or "."


def _split_folder(path: str, split: str) -> str:
    """Return the folder of a split; the folder itself if it has no folders for splits."""
    folder = os.path.join(path, split)
    if not split or os.path.isdir(folder):
        return folder if split else path
    others = [name for name in SPLITS if os.path.isdir(os.path.join(path, name))]
    if others:  # otherwise they would be used as classes
        raise UsageError(f"{path} holds {', '.join(others)} but no {split!r}: set TRAIN.SPLIT and TEST.SPLIT")
    return path


def _missing(paths: Sequence[str]) -> list[int]:
    """Return the positions of missing local files; each folder is read once, URIs are not checked."""
    present: dict[str, set[str]] = {}
    missing: list[int] = []
    folder, known = "", _names_in("")
    for index, path in enumerate(paths):
        cut = path.rfind("/") + 1
        if cut != len(folder) or not path.startswith(folder):  # lists mostly stay in a folder for a while
            folder = path[:cut]
            if folder not in present:
                present[folder] = _names_in(folder)
            known = present[folder]
        if path[cut:] not in known and "://" not in path:
            missing.append(index)
    return missing


def _names_in(folder: str) -> set[str]:
    folder = folder or "."
    return set(os.listdir(folder)) if "://" not in folder and os.path.isdir(folder) else set()
