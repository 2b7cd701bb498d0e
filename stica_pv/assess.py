"""The evaluating half of a run: a checkpoint beside random initialisation, on the training and test lists."""

import json
import logging
from pathlib import Path

import torch

from stica_pv.config import CfgNode
from stica_pv.create import create_task
from stica_pv.data.config import manifest_path, reader_from_config
from stica_pv.data.dataset import ClipDataset
from stica_pv.data.videos import list_from_config, open_videos
from stica_pv.distributed import is_main
from stica_pv.engine import load_checkpoint, load_latest, load_weights
from stica_pv.engine.checkpoint import Checkpoint
from stica_pv.errors import UsageError
from stica_pv.evaluation import compare, evaluate, grid_views, table
from stica_pv.evaluation.features import Prepare, as_is
from stica_pv.evaluation.released import ReleasedPhotometry
from stica_pv.evaluation.suite import Results
from stica_pv.registry import EVALUATIONS
from stica_pv.structures import Views
from stica_pv.tasks import Task
from stica_pv.transforms import photometry_from_config

logger = logging.getLogger(__name__)

RESULTS = "results.json"


def assess(cfg: CfgNode, task: Task, folder: Path, device: torch.device) -> Results:
    """Evaluates the newest checkpoint of the run (or the named one) beside random initialisation.

    Writes results.json: one flat mapping from score to %.
    """
    found = find_checkpoint(cfg, folder)
    if found is not None:
        load_weights(task, found[0]["model"], min_share=1.0, source=found[1])
    gallery = _test_set(cfg, folder, cfg.TRAIN.DATASET, cfg.TRAIN.SPLIT)
    queries = _test_set(cfg, folder, test_dataset(cfg), cfg.TEST.SPLIT)
    comparison = compare(
        task.encoders()["video"] if found is not None else None,
        create_task(cfg).encoders()["video"],
        gallery,
        queries,
        device=device,
        batch_size=cfg.TEST.BATCH_SIZE,
        num_workers=cfg.DATA_LOADER.NUM_WORKERS,
        start_method=cfg.DATA_LOADER.START_METHOD,
        processing=cfg.TEST.PROCESSING,
        knn_k=cfg.TEST.KNN_K,
        prepare=_prepare(cfg),
    )
    results = evaluate(cfg.TEST.EVALUATIONS, comparison)
    if is_main():
        (folder / RESULTS).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        counts = f"{len(gallery)} training and {len(queries)} test videos, {cfg.TEST.NUM_ENSEMBLE_VIEWS} clips each"
        logger.info("results on %s:\n%s", counts, table(results))
    return results


def check_test(cfg: CfgNode) -> None:
    """Looks at what the evaluation will need, so that a mistake is told before the training and not after it."""
    for name in cfg.TEST.EVALUATIONS:
        EVALUATIONS.get(name)
    if not cfg.TEST.EVALUATIONS:
        raise UsageError(f"TEST.ENABLE without TEST.EVALUATIONS: there are {', '.join(EVALUATIONS.names())}")
    _views(cfg)
    listed = list_from_config(cfg, dataset=test_dataset(cfg), split=cfg.TEST.SPLIT)
    if listed.list_hash == list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT).list_hash:
        raise UsageError(
            "TEST.ENABLE: the training and the test list are the same, and every video would find itself: "
            "set TRAIN.SPLIT, TEST.SPLIT, or DATA.PATH_TO_DATA_DIR to the folder of both lists"
        )
    if listed.labels is None:
        raise UsageError(
            f"TEST.ENABLE needs labels, and a {test_dataset(cfg)!r} list has none: "
            "use csv or class_folders for TRAIN.DATASET and TEST.DATASET"
        )


def test_dataset(cfg: CfgNode) -> str:
    """Kind of the test list: TEST.DATASET, or that of the training list."""
    return str(cfg.TEST.DATASET or cfg.TRAIN.DATASET)


def find_checkpoint(cfg: CfgNode, folder: Path) -> tuple[Checkpoint, str] | None:
    """Returns the checkpoint to evaluate and where it lies; None when there is none and that is allowed.

    Raises:
        UsageError: There is none.
    """
    path = cfg.TEST.CHECKPOINT_FILE_PATH
    checkpoint = load_checkpoint(path) if path else load_latest(folder)
    if checkpoint is not None:
        return checkpoint, path or str(folder)
    if cfg.TEST.ALLOW_RANDOM_INIT:
        return None
    raise UsageError(
        f"TEST.ENABLE: there is no checkpoint in {folder} and TEST.CHECKPOINT_FILE_PATH is not set "
        "(TEST.ALLOW_RANDOM_INIT True evaluates without one)"
    )


def _test_set(cfg: CfgNode, folder: Path, dataset: str, split: str) -> ClipDataset:
    views = _views(cfg)
    videos = open_videos(
        list_from_config(cfg, dataset=dataset, split=split),
        manifest=manifest_path(cfg, folder),
        min_seconds=views.min_seconds,
        needs_audio=views.needs_audio,
    )
    if videos.excluded:
        first = videos.excluded[0]
        raise UsageError(
            f"{len(videos.excluded)} videos of the {split} list cannot be read, the first: {first.path}: {first.cause}"
        )
    if videos.labels is None:
        raise UsageError(f"TEST.ENABLE needs labels, and a {dataset!r} list has none: use csv or class_folders")
    return ClipDataset(
        videos.paths,
        videos.durations_s,
        views,
        reader=reader_from_config(cfg),
        seed=cfg.RNG_SEED,
        labels=videos.labels,
        replace_failures=False,
    )


def _views(cfg: CfgNode) -> Views:
    return grid_views(
        clips=cfg.TEST.NUM_ENSEMBLE_VIEWS,
        spatial_crops=cfg.TEST.NUM_SPATIAL_CROPS,
        frames=cfg.DATA.NUM_FRAMES,
        fps=cfg.DATA.TARGET_FPS,
        size=cfg.DATA.TEST_CROP_SIZE,
        transform=cfg.TEST.TRANSFORM,
    )


def _prepare(cfg: CfgNode) -> Prepare:
    if cfg.TEST.TRANSFORM == "released":
        return ReleasedPhotometry(photometry_from_config(cfg), cfg.RNG_SEED)
    return as_is
