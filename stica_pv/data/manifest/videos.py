"""A data set as a run uses it: the files of a list that are usable by the manifest and the recipe."""

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
from stica_pv.data.sources.video_list import VideoList, list_hash, log_absent, names_below, relative_names
from stica_pv.distributed import from_main, is_main
from stica_pv.errors import UsageError
from stica_pv.registry import SOURCES
from stica_pv.safe_text import printable
from stica_pv.structures import ReadFailure, Views

logger = logging.getLogger(__name__)

_LENGTH = re.compile(r" lasts [\d.]+ s, the recipe needs")  # differs between files, so such causes cannot be counted
PROBE_PROCESSES = 8  # reading headers is limited by the disk, not by the processor


@dataclass(frozen=True)
class Videos:
    """The usable part of a list.

    Attributes:
        paths: Files or URIs.
        durations_s: Duration of each video (of the audio if there is no video).
        labels: Class of each, or None.
        list_hash: Hash of names and labels of the usable files; a different value means different data.
        excluded: Excluded files, with the cause.
        silent: Number of usable files without audio.
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
        """Paths relative to `root`; computed at each access."""
        return names_below(self.root, self.paths)


def list_from_config(cfg: CfgNode, *, dataset: str, split: str, max_absent_share: float | None = None) -> VideoList:
    """Read the list of a split of the training data from DATA.PATH_TO_DATA_DIR.

    Args:
        cfg: The configuration.
        dataset: A name in `SOURCES`.
        split: Split of the data set.
        max_absent_share: Largest share of its files that may be missing; None for DATA.MAX_ABSENT_SHARE, with a warning
            in the log if some are.

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
    """No file of a list is usable.

    Attributes:
        excluded: All files, with the cause.
    """

    def __init__(self, message: str, excluded: tuple[ReadFailure, ...]) -> None:
        super().__init__(message)
        self.excluded = excluded


def open_videos(
    videos: VideoList, *, manifest: Path | None, min_seconds: float, needs_audio: bool, trust: bool = False
) -> Videos:
    """Look up every file of a list in the manifest and keep the usable ones.

    Args:
        videos: The list.
        manifest: Path of the manifest; new and changed files are added to it. None for none.
        min_seconds: Shortest usable duration.
        needs_audio: Whether to exclude files without audio.
        trust: Whether to skip the check for changed files, because another process has just done it.

    Raises:
        NoneUsable: No file is usable.
    """
    media_info = probe_all(videos.paths, manifest, PROBE_PROCESSES, trust=trust)
    causes = exclusion_causes(media_info, min_seconds=min_seconds, needs_audio=needs_audio)
    if causes:
        logger.info("%d of %d files excluded: %s", len(causes), len(videos), count_causes(causes.values()))
    excluded = tuple(ReadFailure(videos.paths[row], cause) for row, cause in causes.items())
    if len(causes) == len(videos):
        raise NoneUsable(
            f"none of the {len(causes)} files in {videos.root} can be used: {count_causes(causes.values())}; "
            "see DATA.NUM_FRAMES, DATA.TARGET_FPS and DATA.MISSING_AUDIO for the requirements of the recipe "
            "(`stica-pv check-dataset` lists every file)",
            excluded,
        )
    fits = [row not in causes for row in range(len(videos))]
    lengths = zip(media_info.column("video_seconds"), media_info.column("audio_seconds"), strict=True)
    labels = None if videos.labels is None else array("q", compress(videos.labels, fits))
    paths = CompactStrings(compress(videos.paths, fits)) if causes else CompactStrings(videos.paths)
    return Videos(
        paths=paths,
        durations_s=array("d", (video_s or audio_s for video_s, audio_s in compress(lengths, fits))),
        labels=labels,
        list_hash=list_hash(relative_names(videos.root, paths), labels),
        excluded=tuple(ReadFailure(videos.paths[row], cause) for row, cause in causes.items()),
        silent=sum(not decodable(codec) for codec in compress(media_info.column("audio_codec"), fits)),
        root=videos.root,
    )


def count_causes(causes: Iterable[str], shown: int = 3) -> str:
    """Return causes with their numbers of files, the most frequent first; too short files count as one cause."""
    counts = Counter(map(short_cause, causes)).most_common()
    text = ", ".join(f"{printable(cause)} ({count})" for cause, count in counts[:shown])
    return text + (f" and {len(counts) - shown} other causes" if len(counts) > shown else "")


def short_cause(cause: str) -> str:
    """Return a cause without the duration of its file, so that causes can be counted."""
    return _LENGTH.sub(" is shorter than", cause)


def open_in_turn(listed: VideoList, manifest: Path, views: Views) -> Videos:
    """Open a list: first the main process, which reads the headers, then the others with the complete manifest.

    Raises:
        UsageError: The main process cannot use the list; then all processes raise the error, and none waits.
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
