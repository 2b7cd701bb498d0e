"""Looks a configured training list over: its manifest, what the recipe can use, and whether it could be trained on."""

import logging
import time
from pathlib import Path

from stica_pv.config import CfgNode
from stica_pv.create import create_task
from stica_pv.data.config import manifest_path
from stica_pv.data.manifest import probe_all
from stica_pv.data.report import describe_exclusions, describe_facts
from stica_pv.data.videos import PROBE_THREADS, list_from_config, open_videos
from stica_pv.engine.config import check_batch
from stica_pv.pretrain import create_sampler

logger = logging.getLogger(__name__)


def check_data(cfg: CfgNode, *, named: int) -> None:
    """Reads what headers the manifest lacks, writes it, and logs what the list holds, part by part.

    Args:
        cfg: The configuration of a training.
        named: How many files to name of each cause of exclusion; 0 for all.

    Raises:
        UsageError: Training would refuse the list, for this reason.
    """
    listed = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT)
    manifest = manifest_path(cfg, Path(cfg.OUTPUT_DIR))
    begin = time.perf_counter()
    facts = probe_all(listed.paths, manifest, PROBE_THREADS)
    seconds = time.perf_counter() - begin
    logger.info("%s", describe_facts(facts))
    rate = len(facts) / max(seconds, 1e-9)
    logger.info("looked at in %.1f s, %.0f files a second; the manifest is %s", seconds, rate, manifest)
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
