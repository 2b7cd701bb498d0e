"""Check a configured training list: its manifest, the files that the recipe can use, whether training accepts it."""

import contextlib
import csv
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stica_pv.config import CfgNode
from stica_pv.data.config import manifest_path
from stica_pv.data.decoding.stream_checks import decodable
from stica_pv.data.loading.read_test import ReadTest, read_some
from stica_pv.data.manifest.duplicates import find_duplicates
from stica_pv.data.manifest.manifest import probe_all
from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.data.manifest.overview import count_classes, count_headers, describe_exclusions, describe_media_info
from stica_pv.data.manifest.videos import PROBE_PROCESSES, NoneUsable, Videos, list_from_config, open_videos
from stica_pv.data.sources.video_list import VideoList, check_absent
from stica_pv.engine.build_task import create_task
from stica_pv.engine.config import check_batch
from stica_pv.engine.loaders import create_loader, create_sampler
from stica_pv.errors import UsageError
from stica_pv.report.data_page import DataCheck, data_csv, write_data_page
from stica_pv.safe_text import csv_cells
from stica_pv.structures import ReadFailure, Views

logger = logging.getLogger(__name__)

ABSENT = "absent_files.txt"
PAGE, NUMBERS, FILES = "data_check.html", "data_check.csv", "data_files.csv"
TEST_SAMPLES = 32
MISSING_FILE = "the file does not exist"


@dataclass
class _Found:
    """Findings about the list, as far as the check got.

    Attributes:
        excluded: Files that the recipe cannot use.
        trial: Result of reading some samples.
        samples: Number of samples per epoch.
    """

    excluded: tuple[ReadFailure, ...] = field(default=())
    trial: ReadTest | None = None
    samples: int = 0


def check_data(cfg: CfgNode, *, named: int, page: bool = True) -> None:
    """Read headers that the manifest lacks, write the manifest, and log what the list holds.

    Names of missing files are written to absent_files.txt, one per line. data_check.html and data_check.csv hold the
    numbers; data_files.csv has one line per file that is excluded or a copy of another one.

    Args:
        cfg: The configuration of a training.
        named: Number of files to name per cause of exclusion; 0: all.
        page: Whether to write data_check.html.

    Raises:
        UsageError: Training would refuse the list. The findings are written nevertheless.
    """
    folder = Path(cfg.OUTPUT_DIR)
    manifest = manifest_path(cfg, folder)
    listed = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT, max_absent_share=math.inf)
    _log_absent(listed.absent, folder / ABSENT)
    media_info = _probe(listed, manifest)
    found, refusal = _Found(), None
    try:
        _check_as_training(cfg, listed, manifest, named, found)
    except UsageError as error:
        refusal = error
    copies = find_duplicates(listed.paths, media_info.column("size_bytes"))
    if copies:
        logger.info("%d of %d files are byte-for-byte copies of another file of the list", len(copies), len(listed))
    names = listed.names
    check = DataCheck(
        title=f"{cfg.TRAIN.DATASET} {cfg.TRAIN.SPLIT} in {listed.root}",
        refusal=str(refusal or ""),
        totals=_totals(listed, media_info),
        excluded=[*(ReadFailure(name, MISSING_FILE) for name in listed.absent), *_named(found.excluded, listed.root)],
        spreads=count_headers(media_info),
        classes=count_classes(listed),
        copies=[(names[row], names[first]) for row, first in copies.items()],
        trial=found.trial and replace(found.trial, failures=tuple(_named(found.trial.failures, listed.root))),
        workers=cfg.DATA_LOADER.NUM_WORKERS,
        samples=found.samples,
    )
    _write(folder, check, page=page)
    if refusal is not None:
        raise refusal


def _probe(listed: VideoList, manifest: Path) -> MediaInfoTable:
    begin = time.perf_counter()
    media_info = probe_all(listed.paths, manifest, PROBE_PROCESSES)
    seconds = time.perf_counter() - begin
    logger.info("%s", describe_media_info(media_info))
    rate = len(media_info) / max(seconds, 1e-9)
    logger.info("headers read in %.1f s, %.0f files/s; manifest saved to %s", seconds, rate, manifest)
    return media_info


def _check_as_training(cfg: CfgNode, listed: VideoList, manifest: Path, named: int, found: _Found) -> None:
    """Repeat what training does with a list before its first step, and read some samples."""
    check_absent(
        listed.absent,
        len(listed) + len(listed.absent),
        source=f"the {cfg.TRAIN.SPLIT} list",
        root=listed.root,
        max_share=cfg.DATA.MAX_ABSENT_SHARE,
    )
    check_batch(cfg)
    task = create_task(cfg)
    task.check_labels(listed.labels)
    views = task.views()
    try:
        videos = open_videos(
            listed, manifest=manifest, min_seconds=views.min_seconds, needs_audio=views.needs_audio, trust=True
        )
    except NoneUsable as error:
        found.excluded = error.excluded
        raise
    found.excluded = videos.excluded
    logger.info("%s", describe_exclusions(videos.excluded, len(listed), named))
    if videos.silent:
        logger.info(
            "%d of the %d usable files have no audio; silence is used for them", videos.silent, len(videos.paths)
        )
    sampler = create_sampler(cfg, videos, 0)
    found.samples = sampler.steps_per_epoch * cfg.TRAIN.BATCH_SIZE
    found.trial = _try(cfg, views, videos)
    logger.info(
        "one epoch: %d steps of %d videos; list_hash %s",
        sampler.steps_per_epoch,
        cfg.TRAIN.BATCH_SIZE,
        videos.list_hash,
    )


def _try(cfg: CfgNode, views: Views, videos: Videos) -> ReadTest:
    dataset = create_loader(cfg, views, videos, create_sampler(cfg, videos, 0)).dataset
    dataset.replace_failures = False
    trial = read_some(dataset, TEST_SAMPLES)
    logger.info(
        "%d samples read: %.0f ms each, %.1f samples/s per process; %d failed, %d of %d audio tracks are silent",
        *(trial.samples, 1000 * trial.seconds, trial.clips_per_second()),
        *(len(trial.failures), trial.silent, trial.audio_tracks),
    )
    return trial


def _totals(listed: VideoList, media_info: MediaInfoTable) -> list[tuple[str, float, str]]:
    usable = [not error for error in media_info.column("error")]
    return [
        ("files", len(listed) + len(listed.absent), ""),
        ("missing files", len(listed.absent), ""),
        ("files that cannot be opened", len(usable) - sum(usable), ""),
        ("files without audio", sum(not decodable(codec) for codec in media_info.column("audio_codec")), ""),
        ("size", sum(media_info.column("size_bytes")) / 1e9, "GB"),
        ("video", sum(media_info.column("video_seconds")) / 3600, "h"),
        ("audio", sum(media_info.column("audio_seconds")) / 3600, "h"),
    ]


def _named(failures: Sequence[ReadFailure], root: str) -> Iterator[ReadFailure]:
    prefix = root if root.endswith("/") else f"{root}/"
    return (ReadFailure(one.path.removeprefix(prefix), one.cause.replace(prefix, "")) for one in failures)


def _write(folder: Path, check: DataCheck, *, page: bool) -> None:
    with _writing(folder):
        (folder / NUMBERS).write_text(data_csv(check), encoding="utf-8", errors="surrogateescape")
        with (folder / FILES).open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("name", "cause", "copy_of"))
            writer.writerows(csv_cells((one.path, one.cause, "")) for one in check.excluded)
            writer.writerows(csv_cells((copy, "", first)) for copy, first in check.copies)
    written = [folder / NUMBERS, folder / FILES]
    if page:
        written.insert(0, write_data_page(folder / PAGE, check))
    logger.info("report: %s", ", ".join(map(str, written)))


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Create the folder, and raise a one-line error if it or a file in it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UsageError(f"OUTPUT_DIR {folder} cannot be written: {error.strerror or error}") from error


def _log_absent(names: Sequence[str], path: Path) -> None:
    with _writing(path.parent):
        path.unlink(missing_ok=True)  # of an earlier check
        if names:
            path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", errors="surrogateescape")
    if names:
        logger.info("names of the %d missing files saved to %s", len(names), path)
