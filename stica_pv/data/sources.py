"""Where lists of videos come from: a csv, a folder of class folders, or any folder."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from iopath.common.file_io import g_pathmgr

from stica_pv.data.compact_strings import CompactStrings
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES

VIDEO_EXTENSIONS = (
    ".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".ts", ".webm", ".wmv",
)  # fmt: skip
AUDIO_EXTENSIONS = (".aac", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav")
MEDIA_EXTENSIONS = VIDEO_EXTENSIONS + AUDIO_EXTENSIONS

_NAMED = 3  # how many names a message gives as examples


@dataclass(frozen=True)
class VideoList:
    """A list of videos.

    Attributes:
        paths: Files or URIs; kept as `CompactStrings`, whatever was given.
        labels: Class of each, or None.
        class_names: Names by label; empty without labels.
        root: Folder that the names are relative to.
    """

    paths: Sequence[str]
    labels: tuple[int, ...] | None
    class_names: tuple[str, ...]
    root: str

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.paths):
            raise ValueError(f"{len(self.paths)} paths and {len(self.labels)} labels do not fit")
        object.__setattr__(self, "paths", CompactStrings(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"VideoList({len(self)} videos in {self.root}, {len(self.class_names)} classes)"

    @property
    def names(self) -> CompactStrings:
        """Paths relative to `root`, for reports; a path elsewhere as it is. Made anew at each use."""
        return names_below(self.root, self.paths)

    @cached_property
    def list_hash(self) -> str:
        """Twelve hex digits over names and labels: equal for the same list under another root."""
        digest = hashlib.blake2b(digest_size=6)
        for name, label in zip(self.names, self.labels or [None] * len(self), strict=True):
            digest.update(f"{name}\0{label}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def names_below(root: str, paths: Iterable[str]) -> CompactStrings:
    """Returns paths relative to `root`; a path elsewhere as it is."""
    prefix = root if root.endswith("/") else root + "/"
    return CompactStrings(path.removeprefix(prefix) for path in paths)


@SOURCES.named("csv")
def read_csv(*, path: str, prefix: str = "", separator: str = " ") -> VideoList:
    """Reads a list of lines ``path label``, as in SlowFast and pytorchvideo; the label may be missing in all of them.

    Args:
        path: The list, a file or URI.
        prefix: Folder of relative paths; "" for the folder of the list.
        separator: Stands between path and label; a path may hold it too, the last one counts.
    """
    _check_set(path)
    if g_pathmgr.isdir(path):
        raise UsageError(
            f"{path} is a folder, the csv source needs a file: name the csv, e.g. {_join(path, 'train.csv')}"
        )
    if not g_pathmgr.isfile(path):
        raise UsageError(f"there is no list {path}; check DATA.PATH_TO_DATA_DIR and the split")
    root = prefix or _folder_of(path)
    names: list[str] = []
    labels: list[int | None] = []
    one_of_each: dict[int | None, int | None] = {}  # equal numbers are one object, not a quarter of a million
    with g_pathmgr.open(path, "r") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                name, label = _parse(line.strip(), separator or " ", f"{path}, line {number}")
                if labels and (label is None) != (labels[0] is None):
                    raise UsageError(f"{path}, line {number}: either all lines have a label or none: {line.strip()!r}")
                names.append(name)
                labels.append(one_of_each.setdefault(label, label))
    if not names:
        raise UsageError(f"the list {path} is empty; expected lines 'path{separator or ' '}label'")
    known = tuple(label for label in labels if label is not None)
    paths = tuple(_join(root, name) for name in names)
    _check_present(path, paths, names, root)
    return VideoList(paths, known or None, tuple(str(label) for label in range(max(known) + 1)) if known else (), root)


@SOURCES.named("class_folders")
def read_class_folders(*, path: str, prefix: str = "", separator: str = " ") -> VideoList:
    """Lists ``path/class/…/video``; labels follow the sorted names of the class folders.

    Args:
        path: The folder of class folders.
        prefix: Without meaning here.
        separator: Without meaning here.
    """
    _check_folder(path)
    classes = [name for name in _listed(path) if g_pathmgr.isdir(_join(path, name))]
    if not classes:
        raise UsageError(f"{path} holds no class folders; the source 'folder' takes a folder of videos without classes")
    found = [(file, label) for label, name in enumerate(classes) for file in _media(_join(path, name))]
    _check_found(path, found)
    return VideoList(tuple(f for f, _ in found), tuple(label for _, label in found), tuple(classes), path)


@SOURCES.named("folder")
def read_folder(*, path: str, prefix: str = "", separator: str = " ") -> VideoList:
    """Lists all media files below a folder, without labels.

    Args:
        path: The folder.
        prefix: Without meaning here.
        separator: Without meaning here.
    """
    _check_folder(path)
    found = tuple(_media(path))
    _check_found(path, found)
    return VideoList(found, None, (), path)


def _parse(line: str, separator: str, where: str) -> tuple[str, int | None]:
    name, _, label = line.rpartition(separator)
    if name.strip() and label.strip().isdecimal():
        return name.strip(), int(label)
    if line.lower().endswith(MEDIA_EXTENSIONS):
        return line, None
    raise UsageError(
        f"{where}: expected 'path{separator}label' with a label 0, 1, 2, …, got {line!r}; "
        "DATA.PATH_LABEL_SEPARATOR sets the separator"
    )


def _join(root: str, name: str) -> str:
    return name if "://" in name else os.path.join(root, name)


def _folder_of(path: str) -> str:
    folder, slash, _ = path.rpartition("/")
    return folder + slash if folder.endswith(("/", ":")) else folder or slash or "."


def _listed(folder: str) -> list[str]:
    return sorted(name for name in g_pathmgr.ls(folder) if not name.startswith("."))


def _media(folder: str) -> Iterator[str]:
    """Yields the media files below a folder in a fixed order; hidden files and folders are left out."""
    if "://" not in folder:  # one call per folder, not one per file
        for base, folders, files in os.walk(folder, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not name.startswith(".") and name.lower().endswith(MEDIA_EXTENSIONS):
                    yield os.path.join(base, name)
        return
    for name in _listed(folder):
        path = _join(folder, name)
        if name.lower().endswith(MEDIA_EXTENSIONS):
            yield path
        elif g_pathmgr.isdir(path):
            yield from _media(path)


def _check_set(path: str) -> None:
    if not path:
        raise UsageError("DATA.PATH_TO_DATA_DIR is not set; give it the folder of the data, or use DATASET synthetic")


def _check_folder(path: str) -> None:
    _check_set(path)
    if g_pathmgr.isfile(path):
        raise UsageError(f"{path} is a file, a folder is needed; the source 'csv' reads lists")
    if not g_pathmgr.isdir(path):
        raise UsageError(f"there is no folder {path}; check DATA.PATH_TO_DATA_DIR and the split")


def _check_found(path: str, found: Sequence[object]) -> None:
    if not found:
        raise UsageError(f"no media files in {path}; looked for {' '.join(MEDIA_EXTENSIONS)}")


def _check_present(list_path: str, paths: Sequence[str], names: Sequence[str], root: str) -> None:
    """Raises `UsageError` if local files of a list are missing; each folder is read once, URIs are not checked."""
    present: dict[str, set[str]] = {}
    missing: list[int] = []
    for index, path in enumerate(paths):
        if "://" in path:
            continue
        folder, slash, base = path.rpartition("/")
        folder += slash
        if folder not in present:
            present[folder] = set(os.listdir(folder or ".")) if os.path.isdir(folder or ".") else set()
        if base not in present[folder]:
            missing.append(index)
    if missing:
        examples = ", ".join(names[index] for index in missing[:_NAMED])
        raise UsageError(
            f"{len(missing)} of {len(paths)} videos of {list_path} are missing, e.g. {examples}; looked below {root}: "
            "check DATA.PATH_PREFIX, or remove their lines"
        )
