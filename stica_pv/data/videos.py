"""A data set as a run uses it: the list, what the manifest knows of each file, and which files fit the recipe."""

import hashlib
import logging
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from stica_pv.config import CfgNode
from stica_pv.data.manifest import exclusion_cause, probe_all
from stica_pv.data.sources import VideoList
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES
from stica_pv.structures import ReadFailure

logger = logging.getLogger(__name__)

SPLITS = ("train", "training", "val", "validation", "test", "testing")
_LENGTH = re.compile(r" lasts [\d.]+ s, the recipe needs")  # of each file its own, so it could not be counted
PROBE_THREADS = 8  # reading headers waits for the disk more than for the processor


@dataclass(frozen=True)
class Videos:
    """The usable part of a list.

    Attributes:
        paths: Files or URIs.
        durations_s: Length of each picture track (of the sound where there is no picture).
        labels: Class of each, or None.
        list_hash: Of names and labels of the usable files; another value means other data.
        excluded: Files left out, with the cause.
    """

    paths: tuple[str, ...]
    durations_s: tuple[float, ...]
    labels: tuple[int, ...] | None
    list_hash: str
    excluded: tuple[ReadFailure, ...]


def list_from_config(cfg: CfgNode, *, dataset: str, split: str) -> VideoList:
    """Reads the list of a split: ``<PATH_TO_DATA_DIR>/<split>.csv``, or what the source makes of the folder.

    Raises:
        UsageError: There is no such list, or it is wrong.
    """
    path = cfg.DATA.PATH_TO_DATA_DIR
    if not path:
        raise UsageError("DATA.PATH_TO_DATA_DIR is not set: name the folder of the data set, or its csv list")
    source = SOURCES.get(dataset)
    if os.path.isdir(path):
        if dataset == "csv":
            path = os.path.join(path, f"{split}.csv")
        elif dataset == "class_folders":
            path = _split_folder(path, split)
    return source(path=path, prefix=cfg.DATA.PATH_PREFIX, separator=cfg.DATA.PATH_LABEL_SEPARATOR)


def _split_folder(path: str, split: str) -> str:
    """Returns the folder of a split; the folder itself where nothing looks like a split."""
    folder = os.path.join(path, split)
    if os.path.isdir(folder):
        return folder
    others = [name for name in SPLITS if os.path.isdir(os.path.join(path, name))]
    if others:  # taking them for classes would train and test on nonsense
        raise UsageError(f"{path} holds {', '.join(others)} but no {split!r}: set TRAIN.SPLIT and TEST.SPLIT")
    return path


def open_videos(videos: VideoList, *, manifest: Path, min_seconds: float, needs_audio: bool) -> Videos:
    """Looks every file of a list up in the manifest and keeps those that fit.

    Args:
        videos: The list.
        manifest: Facts of files; read if there, extended by files it does not know.
        min_seconds: Shortest usable file.
        needs_audio: Leave out files without sound.

    Raises:
        UsageError: No file fits.
    """
    facts = probe_all(videos.paths, cache=manifest, threads=PROBE_THREADS)
    causes = [exclusion_cause(fact, min_seconds=min_seconds, needs_audio=needs_audio) for fact in facts]
    keep = [i for i, cause in enumerate(causes) if not cause]
    excluded = tuple(ReadFailure(path, cause) for path, cause in zip(videos.paths, causes, strict=True) if cause)
    if excluded:
        logger.info("%d of %d files left out: %s", len(excluded), len(causes), _summary(causes))
    if not keep:
        raise UsageError(
            f"none of the {len(causes)} files in {videos.root} can be used: {_summary(causes)}; "
            "see DATA.NUM_FRAMES, DATA.TARGET_FPS and DATA.MISSING_AUDIO for what the recipe asks"
        )
    labels = None if videos.labels is None else tuple(videos.labels[i] for i in keep)
    names = [videos.names[i] for i in keep]
    return Videos(
        paths=tuple(videos.paths[i] for i in keep),
        durations_s=tuple(facts[i].video_seconds or facts[i].audio_seconds for i in keep),
        labels=labels,
        list_hash=hashlib.sha256(repr((names, labels)).encode()).hexdigest()[:16],
        excluded=excluded,
    )


def _summary(causes: list[str]) -> str:
    counts = Counter(_LENGTH.sub(" is shorter than", cause) for cause in causes if cause).most_common()
    shown = ", ".join(f"{cause} ({count})" for cause, count in counts[:3])
    return shown + (f" and {len(counts) - 3} other causes" if len(counts) > 3 else "")
