"""Merges several lists of one data set: every file once, with a common numbering of the classes."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.data.sources.compact_strings import CompactStrings
from stica_pv.data.sources.video_list import VideoList
from stica_pv.errors import UsageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class MergedLists:
    """The files of several lists.

    Attributes:
        paths: Files or URIs, V of them, each once, in the order of the lists.
        names: Names of the files relative to the root of their list.
        classes: Classes of each, in ascending order.
        class_names: Names by class.
        several: Whether a file may have several classes.
        rows: Rows of the files of each list, int64, each row once.
    """

    paths: CompactStrings
    names: CompactStrings
    classes: Sequence[tuple[int, ...]]
    class_names: tuple[str, ...]
    several: bool
    rows: Mapping[str, Tensor]

    @property
    def labels(self) -> Tensor:
        """Class of each file, int64 (V,); bool (V, classes) where a file may have several."""
        if not self.several:
            return torch.tensor([label for (label,) in self.classes], dtype=torch.int64)
        labels = torch.zeros(len(self.classes), len(self.class_names), dtype=torch.bool)
        pairs = [(row, label) for row, classes in enumerate(self.classes) for label in classes]
        if pairs:
            labels[tuple(torch.tensor(pairs).T)] = True
        return labels


def merge_lists(lists: Mapping[str, VideoList]) -> MergedLists:
    """Merge lists by the paths of their files.

    Args:
        lists: Lists by name; a file may be in several.

    Raises:
        UsageError: A list has no labels, or a file has different ones.
    """
    for split, listed in lists.items():
        if listed.labels is None and listed.tags is None:
            raise UsageError(
                f"TEST.ENABLE needs labels, but the {split!r} list has none: use labeled splits, "
                "or csv or class_folders for TRAIN.DATASET and TEST.DATASET"
            )
    class_names = _all_class_names([listed.class_names for listed in lists.values()])
    row_of: dict[str, int] = {}
    classes: list[tuple[int, ...]] = []
    names: list[str] = []
    rows: dict[str, Tensor] = {}
    for split, listed in lists.items():
        mine: dict[int, None] = {}
        tags = _renumbered(listed, class_names)
        for path, name, own in zip(listed.paths, listed.names, tags, strict=True):
            row = row_of.setdefault(path, len(names))
            if row == len(names):
                classes.append(own)
                names.append(name)
            elif classes[row] != own:
                known, other = (" + ".join(class_names[label] for label in some) for some in (classes[row], own))
                raise UsageError(f"{path} has the class {known} and also {other}: fix the lists")
            mine[row] = None
        if len(mine) < len(listed):
            again = len(listed) - len(mine)
            logger.warning("%d lines of the %r list repeat a file, which counts once", again, split)
        rows[split] = torch.tensor(list(mine), dtype=torch.int64)
    several = any(listed.tags is not None for listed in lists.values())
    return MergedLists(CompactStrings(row_of), CompactStrings(names), classes, class_names, several, rows)


def _all_class_names(of_lists: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the longest tuple of names if the others are prefixes of it, else all names in alphabetical order."""
    longest = max(of_lists, key=len)
    if all(names == longest[: len(names)] for names in of_lists):
        return longest
    return tuple(sorted({name for names in of_lists for name in names}))


def _renumbered(listed: VideoList, class_names: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the classes of each file of a list as numbers of `class_names`."""
    label_of = {name: label for label, name in enumerate(class_names)}
    new = [label_of[name] for name in listed.class_names]
    if listed.tags is not None:
        return [tuple(sorted(new[label] for label in own)) for own in listed.tags]
    alone = [(label,) for label in new]  # one object for each class
    return [alone[label] for label in listed.labels or ()]
