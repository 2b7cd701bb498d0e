"""A data set as a run uses it: the list, what the manifest knows of each file, and which files fit the recipe."""

import hashlib
import logging
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path

from stica_pv.config import CfgNode
from stica_pv.data.decoding.stream_checks import decodable
from stica_pv.data.manifest.manifest import exclusion_causes, probe_all
from stica_pv.data.sources.compact_strings import CompactStrings
from stica_pv.data.sources.media_folder import check_set
from stica_pv.data.sources.video_list import VideoList, log_absent, names_below, relative_names
from stica_pv.distributed import from_main, is_main
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES
from stica_pv.safe_text import printable
from stica_pv.structures import ReadFailure, Views

logger = logging.getLogger(__name__)

_LENGTH = re.compile(r" lasts [\d.]+ s, the recipe needs")  # of each file its own, so it could not be counted
_NAMES_AT_ONCE = 8192
PROBE_PROCESSES = 8  # reading headers waits for the disk more than for the processor


@dataclass(frozen=True)
class Videos:
    """The usable part of a list.

    Attributes:
        paths: Files or URIs.
        durations_s: Length of each frame track (of the audio where there is no frame).
        labels: Class of each, or None.
        list_hash: Of names and labels of the usable files; another value means other data.
        excluded: Files left out, with the cause.
        silent: How many of the usable files have no audio.
        root: Folder that names are relative to.
    """

    paths: CompactStrings
    durations_s: Sequence[float]
    labels: Sequence[int] | None
    list_hash: str
    excluded: tuple[ReadFailure, ...]
    silent: int
    root: str

    @property
    def names(self) -> CompactStrings:
        """Paths relative to `root`; made anew at each use."""
        return names_below(self.root, self.paths)


def list_from_config(cfg: CfgNode, *, dataset: str, split: str, max_absent_share: float | None = None) -> VideoList:
    """Reads the list of a split of the training data, as its source finds it in DATA.PATH_TO_DATA_DIR.

    Args:
        cfg: The configuration.
        dataset: A name of `SOURCES`.
        split: Which list of the data set.
        max_absent_share: Largest share of its files that may be missing; None for DATA.MAX_ABSENT_SHARE, and a word in
            the log if some are.

    Raises:
        UsageError: There is no such list, it is wrong, or too many of its files are missing.
    """
    share = cfg.DATA.MAX_ABSENT_SHARE if max_absent_share is None else max_absent_share
    check_set(cfg.DATA.PATH_TO_DATA_DIR)
    listed: VideoList = SOURCES.build(
        dataset,
        path=cfg.DATA.PATH_TO_DATA_DIR,
        split=split,
        prefix=cfg.DATA.PATH_PREFIX,
        separator=cfg.DATA.PATH_LABEL_SEPARATOR,
        max_absent_share=share,
    )
    if max_absent_share is None:
        log_absent(listed, f"the {split} list")
    return listed


class NoneUsable(UsageError):  # noqa: N818 - it names the state of a list
    """No file of a list fits.

    Attributes:
        excluded: All of them, with the cause.
    """

    def __init__(self, message: str, excluded: tuple[ReadFailure, ...]) -> None:
        super().__init__(message)
        self.excluded = excluded


def open_videos(
    videos: VideoList, *, manifest: Path, min_seconds: float, needs_audio: bool, trust: bool = False
) -> Videos:
    """Looks every file of a list up in the manifest and keeps those that fit.

    Args:
        videos: The list.
        manifest: Facts of files; read if there, extended by files it does not know or that have changed.
        min_seconds: Shortest usable file.
        needs_audio: Leave out files without audio.
        trust: Do not look whether files have changed: another process has just done so.

    Raises:
        NoneUsable: No file fits.
    """
    facts = probe_all(videos.paths, manifest, PROBE_PROCESSES, trust=trust)
    causes = exclusion_causes(facts, min_seconds=min_seconds, needs_audio=needs_audio)
    if causes:
        logger.info("%d of %d files left out: %s", len(causes), len(videos), count_causes(causes.values()))
    excluded = tuple(ReadFailure(videos.paths[row], cause) for row, cause in causes.items())
    if len(causes) == len(videos):
        raise NoneUsable(
            f"none of the {len(causes)} files in {videos.root} can be used: {count_causes(causes.values())}; "
            "see DATA.NUM_FRAMES, DATA.TARGET_FPS and DATA.MISSING_AUDIO for what the recipe asks "
            "(tools/check_dataset.py names every file)",
            excluded,
        )
    fits = [row not in causes for row in range(len(videos))]
    lengths = zip(facts.column("video_seconds"), facts.column("audio_seconds"), strict=True)
    labels = None if videos.labels is None else array("q", compress(videos.labels, fits))
    paths = CompactStrings(compress(videos.paths, fits)) if causes else CompactStrings(videos.paths)
    return Videos(
        paths=paths,
        durations_s=array("d", (video_s or audio_s for video_s, audio_s in compress(lengths, fits))),
        labels=labels,
        list_hash=_hash(relative_names(videos.root, paths), labels),
        excluded=tuple(ReadFailure(videos.paths[row], cause) for row, cause in causes.items()),
        silent=sum(not decodable(codec) for codec in compress(facts.column("audio_codec"), fits)),
        root=videos.root,
    )


def _hash(names: list[str], labels: Sequence[int] | None) -> str:
    """Returns the digest of ``repr(([name, ...], (label, ...)))``, without making all of that text at once."""
    digest = hashlib.sha256(b"([")
    for begin in range(0, len(names), _NAMES_AT_ONCE):
        part = repr(names[begin : begin + _NAMES_AT_ONCE])[1:-1]
        digest.update(f"{', ' if begin else ''}{part}".encode())
    digest.update(f"], {None if labels is None else tuple(labels)!r})".encode())
    return digest.hexdigest()[:16]


def count_causes(causes: Iterable[str], shown: int = 3) -> str:
    """Returns causes with how many files each has, the most frequent first; files that are too short count as one."""
    counts = Counter(map(short_cause, causes)).most_common()
    text = ", ".join(f"{printable(cause)} ({count})" for cause, count in counts[:shown])
    return text + (f" and {len(counts) - shown} other causes" if len(counts) > shown else "")


def short_cause(cause: str) -> str:
    """Returns a cause without the length of its file, so that causes can be counted."""
    return _LENGTH.sub(" is shorter than", cause)


def open_in_turn(listed: VideoList, manifest: Path, views: Views) -> Videos:
    """Opens a list; the main process reads the headers, the others then find the manifest complete.

    Raises:
        UsageError: The main process cannot use the list; all processes then say so, none waits for the others.
    """
    opened = partial(
        open_videos, listed, manifest=manifest, min_seconds=views.min_seconds, needs_audio=views.needs_audio
    )
    if not is_main():
        if failure := from_main(""):
            raise UsageError(failure)
        return opened(trust=True)
    try:
        videos = opened()
    except UsageError as error:
        from_main(str(error))
        raise
    from_main("")
    return videos
