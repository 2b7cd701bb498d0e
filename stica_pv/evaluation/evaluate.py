"""Evaluation of a run: checkpoints, random initialization and baselines on a labeled data set."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from stica_pv.config import CfgNode
from stica_pv.data.config import manifest_path
from stica_pv.data.decoding.reader import Reader, read
from stica_pv.data.manifest.manifest import probe_all
from stica_pv.data.manifest.media_info import MediaInfoTable
from stica_pv.data.manifest.videos import PROBE_PROCESSES
from stica_pv.data.sources.labeled import LabeledSet, labeled_set_from_config
from stica_pv.distributed import barrier, check_agreement, is_main
from stica_pv.engine import load_checkpoint
from stica_pv.errors import UsageError
from stica_pv.evaluation.build_models import Checkpoints, checkpoint_paths, create_evaluated_models, find_checkpoints
from stica_pv.evaluation.config import loading_from_config
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.evaluated_model import ClipFormat, EvaluatedModel
from stica_pv.evaluation.expected import expected_ranges
from stica_pv.evaluation.features.store import feature_store
from stica_pv.evaluation.results import Numbers
from stica_pv.evaluation.suite import Evaluation, run_evaluations
from stica_pv.registry import EVALUATIONS

logger = logging.getLogger(__name__)


def evaluate(cfg: CfgNode, folder: Path, device: torch.device, checkpoints: Checkpoints | None = None) -> Numbers:
    """Run TEST.EVALUATIONS on the newest checkpoint of the run, or on those of TEST.CHECKPOINT_FILE_PATH.

    Write results.json and results.md to `folder`, and features to the store of all runs.

    Args:
        cfg: The configuration.
        folder: Output folder of the run.
        device: Device of this process.
        checkpoints: Checkpoints loaded by `check_test`; None: load them now.

    Returns:
        The numbers of results.json on the main process, empty on the others.

    Raises:
        UsageError: There is nothing to evaluate, or the processes disagree.
    """
    labeled = labeled_set_from_config(cfg)
    models = create_evaluated_models(cfg, folder, checkpoints)
    _check_same_test(labeled, models)
    context = create_context(cfg, labeled, models, folder, device)
    if is_main():
        logger.info("%s, hash %s", labeled, labeled.hash)
        for name, clip_format in {model.name: model.clip_format for model in context.models}.items():
            logger.info("%s: clips of %s", name, clip_format)
    results = run_evaluations(create_evaluations(cfg), context)
    if not is_main():
        return {}
    results.write(folder)
    logger.info("results on %s:\n%s", labeled.name, results.table())
    for expected in expected_ranges(cfg.TEST.EXPECTED):
        logger.info("%s", expected.compare(results.flat()))
    return results.flat()


def check_test(cfg: CfgNode) -> Checkpoints | None:
    """Check what the evaluation needs, so that mistakes are reported before the training.

    Returns:
        The checkpoints of an evaluation without training; None before a training, to save memory.
    """
    create_evaluations(cfg)
    expected_ranges(cfg.TEST.EXPECTED)
    labeled_set_from_config(cfg)
    if is_main():
        feature_store(cfg.TEST.FEATURE_DTYPE).check()
    if not cfg.TRAIN.ENABLE:
        return find_checkpoints(cfg, Path(cfg.OUTPUT_DIR))
    for path in checkpoint_paths(cfg):
        load_checkpoint(path)
    return None


def create_evaluations(cfg: CfgNode) -> list[Evaluation]:
    """Build the evaluations of TEST.EVALUATIONS."""
    if not cfg.TEST.EVALUATIONS:
        raise UsageError(
            f"TEST.ENABLE is True but TEST.EVALUATIONS is empty; choose from {', '.join(EVALUATIONS.names())}"
        )
    return [EVALUATIONS.get(name)(cfg) for name in dict.fromkeys(cfg.TEST.EVALUATIONS)]


def create_context(
    cfg: CfgNode, labeled: LabeledSet, models: Sequence[EvaluatedModel], folder: Path, device: torch.device
) -> EvaluationContext:
    """Create the evaluation context; the main process reads the headers, the others reuse them."""
    return EvaluationContext(
        labeled,
        models,
        _headers_in_turn(labeled.paths, manifest_path(cfg, folder)),
        folder=folder,
        loading=loading_from_config(cfg, device),
        reader_of=_reader_of,
        seed=cfg.RNG_SEED,
        read_timeout_s=cfg.DATA.READ_TIMEOUT_SECONDS,
        count_unreadable=cfg.TEST.COUNT_UNREADABLE_AS_WRONG,
        store=feature_store(cfg.TEST.FEATURE_DTYPE),
    )


def _check_same_test(labeled: LabeledSet, models: Sequence[EvaluatedModel]) -> None:
    """Check that all processes evaluate the same networks and clips; each computes a part of the features."""
    models_text = ", ".join(dict.fromkeys(f"{one.name} {one.hash}" for one in models))
    check_agreement(
        f"tests {models_text} on the list {labeled.hash}",
        advice="use the same configuration, data and checkpoint (TEST.CHECKPOINT_FILE_PATH) on every machine",
    )


def _reader_of(clip_format: ClipFormat) -> Reader:
    return partial(read, frame_choice=clip_format.frame_choice, short_size=clip_format.short_size)


def _headers_in_turn(paths: Sequence[str], manifest: Path) -> MediaInfoTable:
    if not is_main():
        barrier()
    headers = probe_all(paths, manifest, PROBE_PROCESSES, trust=not is_main())
    if is_main():
        barrier()
    return headers
