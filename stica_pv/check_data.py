"""Looks a configured training list over: its manifest, what the recipe can use, and whether it could be trained on."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from stica_pv.config import CfgNode
from stica_pv.create import create_task
from stica_pv.data.config import manifest_path
from stica_pv.data.manifest import probe_all
from stica_pv.data.report import describe_exclusions, describe_facts
from stica_pv.data.video_list import check_absent
from stica_pv.data.videos import PROBE_PROCESSES, list_from_config, open_videos
from stica_pv.engine.config import check_batch
from stica_pv.engine.feed import create_sampler

logger = logging.getLogger(__name__)

ABSENT = "absent_files.txt"


def check_data(cfg: CfgNode, *, named: int) -> None:
    """Reads what headers the manifest lacks, writes it, and logs what the list holds, part by part.

    Names that the list has and that are not there are written to absent_files.txt, one a line.

    Args:
        cfg: The configuration of a training.
        named: How many files to name of each cause of exclusion; 0 for all.

    Raises:
        UsageError: Training would refuse the list, for this reason.
    """
    folder = Path(cfg.OUTPUT_DIR)
    manifest = manifest_path(cfg, folder)
    listed = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT, max_absent_share=1.0)
    _tell_of_absent(listed.absent, folder / ABSENT)
    begin = time.perf_counter()
    facts = probe_all(listed.paths, manifest, PROBE_PROCESSES)
    seconds = time.perf_counter() - begin
    logger.info("%s", describe_facts(facts))
    rate = len(facts) / max(seconds, 1e-9)
    logger.info("looked at in %.1f s, %.0f files a second; the manifest is %s", seconds, rate, manifest)
    check_absent(
        listed.absent,
        len(listed) + len(listed.absent),
        source=f"the {cfg.TRAIN.SPLIT} list",
        root=listed.root,
        max_share=cfg.DATA.MAX_ABSENT_SHARE,
    )
    check_batch(cfg)
    views = create_task(cfg).views()
    videos = open_videos(
        listed, manifest=manifest, min_seconds=views.min_seconds, needs_audio=views.needs_audio, trust=True
    )
    logger.info("%s", describe_exclusions(videos.excluded, len(listed), named))
    if videos.silent:
        logger.info(
            "%d of the %d usable files have no sound and are taken with silence", videos.silent, len(videos.paths)
        )
    sampler = create_sampler(cfg, videos, 0)
    logger.info(
        "an epoch is %d steps of %d videos; list_hash %s",
        sampler.steps_per_epoch,
        cfg.TRAIN.BATCH_SIZE,
        videos.list_hash,
    )


def _tell_of_absent(names: Sequence[str], path: Path) -> None:
    if not names:
        path.unlink(missing_ok=True)  # of an earlier look
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8", errors="surrogateescape")
    logger.info("the names of the %d missing files are in %s", len(names), path)
