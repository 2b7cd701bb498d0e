"""A published data set as a data source: what its lists name is looked for among the media files, in any layout."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stica_pv.data.sources.media_folder import check_folder, join, media_files
from stica_pv.data.sources.video_list import VideoList, check_absent
from stica_pv.errors import UsageError, check_choice


class Entry(NamedTuple):
    """What a list says of one file.

    Attributes:
        stems: Names without extension that the file may have, the usual one first.
        folder: Folder that it usually lies in, "" for none; tells files of one name apart.
    """

    stems: tuple[str, ...]
    folder: str = ""

    @property
    def name(self) -> str:
        """The usual name below the folder of media, without extension."""
        return f"{self.folder}/{self.stems[0]}" if self.folder else self.stems[0]


@dataclass(frozen=True)
class Listing:
    """What one split's list says.

    Attributes:
        source: The list file.
        entries: Its files.
        class_names: Names by label.
        labels: Class of each; None where the list has none or several.
        tags: Classes of each in ascending order, where a file may have several.
    """

    source: str
    entries: Sequence[Entry]
    class_names: tuple[str, ...] = ()
    labels: Sequence[int] | None = None
    tags: Sequence[tuple[int, ...]] | None = None


class Parse(Protocol):
    """Reads the list of a split from a folder; raises `UsageError` where it is missing or wrong."""

    def __call__(self, folder: str, split: str) -> Listing:
        """Reads one split."""


@dataclass(frozen=True)
class OfficialSet:
    """A data source that knows its splits.

    Attributes:
        parse: Reads a list.
        splits: Names of its splits.
        folds: Names of a training and a test split, by the name of the fold.
        group_pattern: Finds the source of a clip in its name, as DATA.GROUP_PATTERN does; "" where each has its own.
    """

    parse: Parse
    splits: tuple[str, ...]
    folds: Mapping[str, tuple[str, str]]
    group_pattern: str = ""

    def __call__(self, *, path: str, split: str, prefix: str = "", max_absent_share: float = 0.0) -> VideoList:
        """Reads one split; see `read`."""
        return self.read(path=path, splits=[split], prefix=prefix, max_absent_share=max_absent_share)[split]

    def read(
        self, *, path: str, splits: Sequence[str], prefix: str = "", max_absent_share: float = 0.0
    ) -> dict[str, VideoList]:
        """Reads splits by name, looking at the media files once.

        Args:
            path: Folder of the lists.
            splits: Names of splits.
            prefix: Folder below which the media files lie; "" for `path`. Where it has a folder of a split's name,
                the files of that split are looked for in there.
            max_absent_share: Largest share of a list whose files may be missing; they are left out.

        Raises:
            UsageError: A split is unknown, its list missing or wrong, or too many files are missing.
        """
        check_folder(path)
        root = prefix or path
        check_folder(root)
        for split in splits:
            check_choice("TRAIN.SPLIT, TEST.SPLIT or TEST.FOLDS", split, self.splits)
        listings = {split: self.parse(path, split) for split in splits}  # a wrong list is told before files are sought
        folders = {split: _folder_of(root, split) for split in splits}
        media = {folder: MediaIndex(folder) for folder in dict.fromkeys(folders.values())}
        return {
            split: _find_all(listing, media[folders[split]], root, max_absent_share)
            for split, listing in listings.items()
        }


class MediaIndex:
    """The media files below a folder by their names without extension."""

    def __init__(self, root: str) -> None:
        """Reads the names of all files once."""
        self.root = root
        self._first: dict[str, str] = {}
        self._several: dict[str, list[str]] = {}
        for path in media_files(root):
            stem = path.rpartition("/")[2].rpartition(".")[0]
            first = self._first.setdefault(stem, path)
            if first is not path:
                self._several.setdefault(stem, [first]).append(path)

    def find(self, entry: Entry) -> str | None:
        """Returns the file of an entry, None if there is none.

        Raises:
            UsageError: There are several, and the folder does not tell which.
        """
        for stem in entry.stems:
            if stem in self._several:
                return self._choose(entry, self._several[stem])
            if stem in self._first:
                return self._first[stem]
        return None

    def _choose(self, entry: Entry, paths: Sequence[str]) -> str:
        there = [path for path in paths if path.split("/")[-2:-1] == [entry.folder]]
        if len(there) != 1:
            raise UsageError(
                f"{entry.name} is {' and also '.join((there or paths)[:2])}: name the folder of the right ones "
                "by DATA.PATH_PREFIX"
            )
        return there[0]


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
