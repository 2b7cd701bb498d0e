"""A published data set as a data source: the names in its lists are searched among the media files, in any layout."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stica_pv.data.sources.media_folder import check_folder, join, media_files
from stica_pv.data.sources.video_list import VideoList, check_absent
from stica_pv.errors import UsageError, check_choice


class Entry(NamedTuple):
    """Entry of a list for one file.

    Attributes:
        stems: Possible names without extension, the usual one first.
        folder: Usual folder of the file, "" for none; distinguishes files with the same name.
    """

    stems: tuple[str, ...]
    folder: str = ""

    @property
    def name(self) -> str:
        """The usual name below the folder of media, without extension."""
        return f"{self.folder}/{self.stems[0]}" if self.folder else self.stems[0]


@dataclass(frozen=True)
class Listing:
    """Content of the list of one split.

    Attributes:
        source: The list file.
        entries: Files of the split.
        class_names: Names by label.
        labels: Class of each; None if the list has none or several.
        tags: Classes of each in ascending order, if a file may have several.
    """

    source: str
    entries: Sequence[Entry]
    class_names: tuple[str, ...] = ()
    labels: Sequence[int] | None = None
    tags: Sequence[tuple[int, ...]] | None = None


class Parse(Protocol):
    """Reads the list of a split from a folder; raises `UsageError` if it is missing or wrong."""

    def __call__(self, folder: str, split: str) -> Listing:
        """Read one split."""


@dataclass(frozen=True)
class OfficialSet:
    """A data source with fixed splits.

    Attributes:
        parse: Reads a list.
        splits: Names of its splits.
        folds: Names of a training and a test split, by the name of the fold.
        group_pattern: Pattern for the source of a clip in its name, as DATA.GROUP_PATTERN; "" if each has its own.
    """

    parse: Parse
    splits: tuple[str, ...]
    folds: Mapping[str, tuple[str, str]]
    group_pattern: str = ""

    def __call__(self, *, path: str, split: str, prefix: str = "", max_absent_share: float = 0.0) -> VideoList:
        """Read one split; see `read`."""
        return self.read(path=path, splits=[split], prefix=prefix, max_absent_share=max_absent_share)[split]

    def read(
        self, *, path: str, splits: Sequence[str], prefix: str = "", max_absent_share: float = 0.0
    ) -> dict[str, VideoList]:
        """Read splits by name; the media files are listed once.

        Args:
            path: Folder of the lists.
            splits: Names of splits.
            prefix: Folder of the media files; "" for `path`. If it has a folder with the name of a split, the files of
                that split are searched there.
            max_absent_share: Largest share of a list whose files may be missing; they are skipped.

        Raises:
            UsageError: A split is unknown, its list missing or wrong, or too many files are missing.
        """
        check_folder(path)
        root = prefix or path
        check_folder(root)
        for split in splits:
            check_choice("TRAIN.SPLIT, TEST.SPLIT or TEST.FOLDS", split, self.splits)
        listings = {split: self.parse(path, split) for split in splits}  # before the slow search for files
        folders = {split: _folder_of(root, split) for split in splits}
        media = {folder: MediaIndex(folder) for folder in dict.fromkeys(folders.values())}
        return {
            split: _find_all(listing, media[folders[split]], root, max_absent_share)
            for split, listing in listings.items()
        }


class MediaIndex:
    """Index of the media files below a folder by their names without extension."""

    def __init__(self, root: str) -> None:
        """Read the names of all files once."""
        self.root = root
        self._first: dict[str, str] = {}
        self._several: dict[str, list[str]] = {}
        for path in media_files(root):
            stem = path.rpartition("/")[2].rpartition(".")[0]
            first = self._first.setdefault(stem, path)
            if first is not path:
                self._several.setdefault(stem, [first]).append(path)

    def find(self, entry: Entry) -> str | None:
        """Return the file of an entry, None if there is none.

        Raises:
            UsageError: There are several, and the folder does not distinguish them.
        """
        for stem in entry.stems:
            if stem in self._several:
                return self._choose(entry, self._several[stem])
            if stem in self._first:
                return self._first[stem]
        return None

    def _choose(self, entry: Entry, paths: Sequence[str]) -> str:
        found = [path for path in paths if path.split("/")[-2:-1] == [entry.folder]]
        if len(found) != 1:
            raise UsageError(
                f"{entry.name} is ambiguous: {' and '.join((found or paths)[:2])}; set DATA.PATH_PREFIX to the folder "
                "of the right files"
            )
        return found[0]


def _folder_of(root: str, split: str) -> str:
    folder = join(root, split)
    return folder if os.path.isdir(folder) else root


def _find_all(listing: Listing, media: MediaIndex, root: str, max_absent_share: float) -> VideoList:
    found = [media.find(entry) for entry in listing.entries]
    present = [index for index, path in enumerate(found) if path is not None]
    absent = [entry.name for entry, path in zip(listing.entries, found, strict=True) if path is None]
    check_absent(absent, len(found), source=listing.source, root=media.root, max_share=max_absent_share)
    return VideoList(
        [path for path in found if path is not None],
        None if listing.labels is None else tuple(listing.labels[index] for index in present),
        listing.class_names,
        root,
        tags=None if listing.tags is None else tuple(listing.tags[index] for index in present),
        absent=absent,
    )
