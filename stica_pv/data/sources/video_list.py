"""A list of videos as a data source gives it, and what becomes of those that it names but that are not there."""

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
"""No data set has as many classes; a larger number is a time or an id, and would take all memory as a class."""

_NAMED = 3  # how many names a message gives as examples


@dataclass(frozen=True)
class VideoList:
    """A list of videos.

    Attributes:
        paths: Files or URIs; kept as `CompactStrings`, whatever was given.
        labels: Class of each, or None.
        class_names: Names by label; empty without labels.
        root: Folder that the names are relative to.
        tags: Classes of each, in ascending order, where a video may have several; None where it has one or none.
        absent: Names that the list has and `paths` has not, as their files are not there.
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
        """Paths relative to `root`, for reports; a path elsewhere as it is. Made anew at each use."""
        return names_below(self.root, self.paths)

    @cached_property
    def list_hash(self) -> str:
        """Twelve hex digits over names and labels: equal for the same list under another root."""
        digest = hashlib.blake2b(digest_size=6)
        classes = self.labels if self.tags is None else self.tags
        for name, label in zip(self.names, classes or [None] * len(self), strict=True):
            digest.update(f"{name}\0{label}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()


def names_below(root: str, paths: Iterable[str]) -> CompactStrings:
    """Returns paths relative to `root`; a path elsewhere as it is."""
    return CompactStrings(relative_names(root, paths))


def relative_names(root: str, paths: Iterable[str]) -> list[str]:
    """Returns the same as a list."""
    prefix = root if root.endswith("/") else root + "/"
    return [path.removeprefix(prefix) for path in paths]


def check_absent(
    absent: Sequence[str], total: int, *, source: str, root: str, max_share: float, hint: str = ""
) -> None:
    """Refuses a list of which too many files are missing.

    Args:
        absent: Names of the missing files.
        total: Number of names in the list.
        source: The list.
        root: Where its files were looked for.
        max_share: Largest share of the list that may be missing; a list with no file at all is refused up to 1.
        hint: What may be wrong with the list, for the message.

    Raises:
        UsageError: More are missing.
    """
    if not absent or (len(absent) <= max_share * total and (len(absent) < total or max_share > 1)):
        return
    advice = ""
    if len(absent) < total:
        advice = (
            f", or allow for them by DATA.MAX_ABSENT_SHARE (now {max_share:g}; tools/check_dataset.py writes all names "
            "of a training list)"
        )
    raise UsageError(f"{_missing(absent, total, source)}{hint}; looked below {root}: check DATA.PATH_PREFIX{advice}")


def log_absent(videos: VideoList, source: str) -> None:
    """Logs how many files of a list are missing, if any are."""
    if videos.absent:
        total = len(videos) + len(videos.absent)
        logger.warning("%s; they are left out", _missing(videos.absent, total, source))


def _missing(absent: Sequence[str], total: int, source: str) -> str:
    examples = ", ".join(map(printable, absent[:_NAMED]))
    return f"{len(absent)} of {total} videos of {source} are missing ({len(absent) / total:.2%}), e.g. {examples}"
