"""A list of videos from a data source, and the handling of its missing files."""

import hashlib
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from stica_pv.data.sources.compact_strings import CompactStrings
from stica_pv.errors import UsageError
from stica_pv.safe_text import printable

logger = logging.getLogger(__name__)

LARGEST_LABEL = 99_999
"""Limit of class numbers; a larger number is probably a time or an id, and would exhaust the memory as a class."""

_NAMED = 3  # number of names in a message
_PART_NAMES = 8192


@dataclass(frozen=True)
class VideoList:
    """A list of videos.

    Attributes:
        paths: Files or URIs; converted to `CompactStrings`.
        labels: Class of each, or None.
        class_names: Names by label; empty without labels.
        root: Folder that the names are relative to.
        tags: Classes of each, in ascending order, if a video may have several; None if it has one or none.
        absent: Names in the list whose files are missing, which `paths` omits.
    """

    paths: Sequence[str]
    labels: tuple[int, ...] | None
    class_names: tuple[str, ...]
    root: str
    tags: tuple[tuple[int, ...], ...] | None = None
    absent: Sequence[str] = ()

    def __post_init__(self) -> None:
        for classes in (self.labels, self.tags):
            if classes is not None and len(classes) != len(self.paths):
                raise ValueError(f"{len(self.paths)} paths and {len(classes)} labels do not fit")
        object.__setattr__(self, "paths", CompactStrings(self.paths))
        object.__setattr__(self, "absent", CompactStrings(self.absent))

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"VideoList({len(self)} videos in {self.root}, {len(self.class_names)} classes)"

    @property
    def names(self) -> CompactStrings:
        """Paths relative to `root`; a path outside of it is unchanged. Computed at each access."""
        return names_below(self.root, self.paths)

    @cached_property
    def list_hash(self) -> str:
        """Hash of names and labels, see `list_hash`: equal for the same list with another root."""
        return list_hash(relative_names(self.root, self.paths), self.labels if self.tags is None else self.tags)


def list_hash(names: list[str], classes: Sequence[int | tuple[int, ...]] | None) -> str:
    """Return a hash of the names and classes of videos, sixteen hex digits; checkpoints store it.

    It is the digest of ``repr(([name, ...], (class, ...)))``, computed without building this text in one piece.
    """
    digest = hashlib.sha256(b"([")
    for begin in range(0, len(names), _PART_NAMES):
        part = repr(names[begin : begin + _PART_NAMES])[1:-1]
        digest.update(f"{', ' if begin else ''}{part}".encode())
    digest.update(f"], {None if classes is None else tuple(classes)!r})".encode())
    return digest.hexdigest()[:16]


def names_below(root: str, paths: Iterable[str]) -> CompactStrings:
    """Return paths relative to `root`; a path outside of it unchanged."""
    return CompactStrings(relative_names(root, paths))


def relative_names(root: str, paths: Iterable[str]) -> list[str]:
    """Return the same as a list."""
    prefix = root if root.endswith("/") else root + "/"
    return [path.removeprefix(prefix) for path in paths]


def check_absent(
    absent: Sequence[str], total: int, *, source: str, root: str, max_share: float, hint: str = ""
) -> None:
    """Raise an error for a list with too many missing files.

    Args:
        absent: Names of the missing files.
        total: Number of names in the list.
        source: The list.
        root: Folder in which its files were searched.
        max_share: Largest share of the list that may be missing; a list without any file is refused up to 1.
        hint: Hint for the message about a possible mistake in the list.

    Raises:
        UsageError: More are missing.
    """
    if not absent or (len(absent) <= max_share * total and (len(absent) < total or max_share > 1)):
        return
    advice = ""
    if len(absent) < total:
        advice = (
            f", or raise DATA.MAX_ABSENT_SHARE (now {max_share:g}; `stica-pv check-dataset` writes all missing names "
            "of a training list)"
        )
    raise UsageError(f"{_missing(absent, total, source)}{hint}; searched below {root}: check DATA.PATH_PREFIX{advice}")


def log_absent(videos: VideoList, source: str) -> None:
    """Log how many files of a list are missing, if any are."""
    if videos.absent:
        total = len(videos) + len(videos.absent)
        logger.warning("%s; they are skipped", _missing(videos.absent, total, source))


def _missing(absent: Sequence[str], total: int, source: str) -> str:
    examples = ", ".join(map(printable, absent[:_NAMED]))
    return f"{len(absent)} of {total} videos of {source} are missing ({len(absent) / total:.2%}), e.g. {examples}"
