"""Data sets for evaluation: every file of all folds once, with class and source, and the rows of each fold."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import torch
from torch import Tensor

from stica_pv.config import CfgNode
from stica_pv.data.sources.compact_strings import CompactStrings
from stica_pv.data.sources.groups import source_groups
from stica_pv.data.sources.label_sources import LABEL_SOURCES, read_label_sources
from stica_pv.data.sources.media_folder import check_set
from stica_pv.data.sources.merged_lists import merge_lists
from stica_pv.data.sources.official import OfficialSet
from stica_pv.data.sources.video_list import VideoList, log_absent, names_below
from stica_pv.errors import UsageError, nearest
from stica_pv.registry import SOURCES

logger = logging.getLogger(__name__)

Pairs = Mapping[str, tuple[str, str]]  # names of a training and a test split, by the name of the fold


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of a data set into training and test files.

    Attributes:
        name: "1", "2", …, or the name of the test split if there is only one division.
        train: Rows to train on, int64 (N,).
        test: Rows to test on, int64 (M,), none of them in `train`.
    """

    name: str
    train: Tensor
    test: Tensor


@dataclass(frozen=True, eq=False)
class LabeledSet:
    """A data set with classes.

    Attributes:
        name: Name of the official set, such as "ucf101", or of the folder of the lists.
        paths: Files or URIs, V of them, each once.
        labels: Class of each, int64 (V,); bool (V, classes) where a file may have several.
        class_names: Names by label.
        groups: Source of each, int64 (V,): clips of one source have the same number.
        folds: Folds, at least one.
        root: Folder that the names are relative to.
        hash: Hash of names, labels and folds; does not depend on `root`.
        label_sources: Modality that the labels of each class were made from: ``audio``, ``video``, ``both``, or "" if
            it is unknown; empty if nothing is known.
    """

    name: str
    paths: Sequence[str]
    labels: Tensor
    class_names: tuple[str, ...]
    groups: Tensor
    folds: tuple[Fold, ...]
    root: str
    hash: str
    label_sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.paths) == len(self.labels) == len(self.groups):
            raise ValueError(
                f"{len(self.paths)} paths, {len(self.labels)} labels, {len(self.groups)} groups do not fit"
            )
        if not self.folds:
            raise ValueError("a labeled set needs at least one fold")

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        folds = ", ".join(f"{fold.name}: {len(fold.train)}/{len(fold.test)}" for fold in self.folds)
        return f"LabeledSet({self.name}, {len(self)} files, {len(self.class_names)} classes, folds {folds})"

    @property
    def multi_label(self) -> bool:
        """Whether a file may have several classes."""
        return self.labels.ndim == 2

    @property
    def names(self) -> CompactStrings:
        """Paths relative to `root`; computed at each access."""
        return names_below(self.root, self.paths)


def labeled_set_from_config(cfg: CfgNode) -> LabeledSet:
    """Read the data set that TEST.DATASET, TEST.PATH_TO_DATA_DIR, TEST.PATH_PREFIX and TEST.FOLDS name.

    Raises:
        UsageError: A list or a fold is missing or wrong, has no labels, or too many of its files are missing.
    """
    dataset = cfg.TEST.DATASET or cfg.TRAIN.DATASET
    path = cfg.TEST.PATH_TO_DATA_DIR or cfg.DATA.PATH_TO_DATA_DIR
    check_set(path)
    source = SOURCES.get(dataset)
    own = source.folds if isinstance(source, OfficialSet) else {cfg.TEST.SPLIT: (cfg.TRAIN.SPLIT, cfg.TEST.SPLIT)}
    pairs = choose_folds(own, [str(name) for name in cfg.TEST.FOLDS])
    settings = {
        "path": path,
        "prefix": cfg.TEST.PATH_PREFIX or ("" if cfg.TEST.PATH_TO_DATA_DIR else cfg.DATA.PATH_PREFIX),
        "max_absent_share": cfg.DATA.MAX_ABSENT_SHARE,
    }
    splits = list(dict.fromkeys(split for pair in pairs.values() for split in pair))
    if isinstance(source, OfficialSet):
        lists = source.read(splits=splits, **settings)
    else:
        settings["separator"] = cfg.DATA.PATH_LABEL_SEPARATOR
        lists = {split: SOURCES.build(dataset, split=split, **settings) for split in splits}
    for split, listed in lists.items():
        log_absent(listed, f"the {split} list")
    pattern = cfg.TEST.GROUP_PATTERN or getattr(source, "group_pattern", "") or cfg.DATA.GROUP_PATTERN
    name = dataset if isinstance(source, OfficialSet) else name_of(path, dataset)
    labeled = labeled_set(lists, pairs, name=name, root=path, group_pattern=pattern)
    return with_label_sources(labeled, cfg.TEST.LABEL_SOURCES) if cfg.TEST.LABEL_SOURCES else labeled


def with_label_sources(labeled: LabeledSet, path: str) -> LabeledSet:
    """Return the data set with the sources of its labels from a file; see `read_label_sources`."""
    sources = read_label_sources(path, labeled.class_names)
    counts = ", ".join(f"{sources.count(name)} {name or 'unknown'}" for name in (*LABEL_SOURCES, ""))
    logger.info("labels of %d classes by source: %s", len(sources), counts)
    return replace(labeled, label_sources=sources)


def name_of(path: str, source: str) -> str:
    """Return the name of a data set that is not an official one: that of its folder or list, else of its source."""
    return PurePosixPath(path).name.removesuffix(".csv") or source


def choose_folds(own: Pairs, wanted: Sequence[str]) -> Pairs:
    """Return the folds of these names; all folds if there are no names.

    Args:
        own: The folds of a data set.
        wanted: Names of folds, or pairs of splits as ``training:test``.

    Raises:
        UsageError: There is no such fold.
    """
    chosen: dict[str, tuple[str, str]] = {}
    for name in wanted:
        train, colon, test = name.partition(":")
        if name not in own and not (train and colon and test):
            raise UsageError(
                f"TEST.FOLDS: there is no fold {name!r}{nearest(name, own)}; use one of {', '.join(own)}, or two "
                "splits as 'training:test'"
            )
        chosen[name] = own.get(name, (train, test))
    return chosen or own


def labeled_set(
    lists: Mapping[str, VideoList], folds: Pairs, *, name: str, root: str, group_pattern: str = ""
) -> LabeledSet:
    """Make one data set from the lists of splits.

    Args:
        lists: The splits by name; a file may be in several.
        folds: Names of the splits to train and to test on.
        name: Name of the data set.
        root: Folder that names are relative to, unless all lists share another one.
        group_pattern: Pattern for the source of a clip in its name (see `source_groups`); "" gives each file its own.

    Raises:
        UsageError: A list has no labels, labels differ, or a file is in both parts of a fold.
    """
    joined = merge_lists(lists)
    roots = {listed.root for listed in lists.values()}
    root = roots.pop() if len(roots) == 1 else root
    made = tuple(Fold(fold, joined.rows[train], joined.rows[test]) for fold, (train, test) in folds.items())
    _check_apart(made, joined.paths)
    count = len(joined.paths)
    groups = torch.from_numpy(source_groups(joined.names, group_pattern)) if group_pattern else torch.arange(count)
    _log_shared_groups(made, groups)
    digest = _hash(names_below(root, joined.paths), joined.classes, made)
    return LabeledSet(name, joined.paths, joined.labels, joined.class_names, groups, made, root, digest)


def _check_apart(folds: Sequence[Fold], paths: Sequence[str]) -> None:
    for fold in folds:
        both = fold.test[torch.isin(fold.test, fold.train)]
        if len(both):
            raise UsageError(
                f"fold {fold.name}: {len(both)} files are in both the training and the test list, e.g. "
                f"{paths[int(both[0])]}: set TRAIN.SPLIT, TEST.SPLIT or TEST.FOLDS"
            )


def _log_shared_groups(folds: Sequence[Fold], groups: Tensor) -> None:
    shared = {fold.name: _count_shared(groups[fold.train], groups[fold.test]) for fold in folds}
    if any(shared.values()):
        counts = ", ".join(f"{count} in fold {name}" for name, count in shared.items() if count)
        logger.warning("sources with clips on both sides of a fold: %s; such test clips are easier", counts)


def _count_shared(train: Tensor, test: Tensor) -> int:
    return int(torch.isin(test.unique(), train).sum())


def _hash(names: Sequence[str], classes_of: Sequence[tuple[int, ...]], folds: Sequence[Fold]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for name, classes in zip(names, classes_of, strict=True):
        digest.update(f"{name}\0{classes}\n".encode(errors="surrogateescape"))
    for fold in folds:
        digest.update(f"{fold.name}\0{fold.train.tolist()}\0{fold.test.tolist()}\n".encode())
    return digest.hexdigest()
