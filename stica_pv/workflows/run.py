"""One run, from a configuration to weights and results: build the task, train it, evaluate it."""

import logging
from contextlib import nullcontext
from pathlib import Path

import torch

from stica_pv.config import CfgNode
from stica_pv.config.imports import import_components
from stica_pv.data.manifest.videos import list_from_config
from stica_pv.data.sources.video_list import VideoList
from stica_pv.data.synthetic import generate_from_config
from stica_pv.defaults import get_cfg
from stica_pv.distributed import barrier, is_main
from stica_pv.engine.build_task import create_task
from stica_pv.engine.config import check_batch, check_solver
from stica_pv.engine.lock import RunLock
from stica_pv.engine.run_folder import claim, recorded_failure
from stica_pv.engine.trackers import check_trackers
from stica_pv.errors import UsageError
from stica_pv.evaluation.build_models import Checkpoints
from stica_pv.evaluation.evaluate import check_test, evaluate
from stica_pv.evaluation.results import Numbers
from stica_pv.report.end_of_run import report_run
from stica_pv.tasks import Task
from stica_pv.workflows.dry_run import dry_run
from stica_pv.workflows.pretrain import pretrain

logger = logging.getLogger(__name__)


def run(cfg: CfgNode, device: torch.device, *, profile_steps: int = 0) -> Numbers:
    """Train and evaluate according to `cfg`; called on every process of the run.

    Args:
        cfg: The configuration.
        device: Device of this process.
        profile_steps: Number of training steps to profile; see `stica_pv.engine.profiling`.

    Returns:
        Results of the evaluations by name, in %; empty without evaluations.

    Raises:
        UsageError: The configuration or the data are invalid.
        RunFailed: Training cannot continue.
        RunStopped: A signal stopped the run; a checkpoint is saved.
    """
    folder = Path(cfg.OUTPUT_DIR)
    import_custom(cfg)
    task, videos, checkpoints = _prepare(
        cfg, device
    )  # before the folder, so that an invalid request leaves nothing behind
    with RunLock(folder) if is_main() else nullcontext():
        if is_main():
            claim(cfg, get_cfg())
        barrier()
        with recorded_failure(folder) if is_main() else nullcontext():
            if task is not None and videos is not None:
                pretrain(cfg, task, videos, folder, device, profile_steps)
            barrier()  # the main process writes the last checkpoint
            del task  # free its memory for the evaluated models
            results = evaluate(cfg, folder, device, checkpoints) if cfg.TEST.ENABLE else {}
    report = report_run(cfg, device) if cfg.REPORT.ENABLE else None
    if is_main():
        if report is not None:
            logger.info("report: %s", report)
        logger.info("outputs saved to %s", folder)
    return results


def check_run(cfg: CfgNode, device: torch.device) -> None:
    """Build what `run` would train, run one batch and log the findings; write nothing to OUTPUT_DIR.

    Raises:
        UsageError: The configuration or the data are invalid.
    """
    if not cfg.TRAIN.ENABLE:
        raise UsageError("--dry_run needs a training, but TRAIN.ENABLE is False: set it to True")
    import_custom(cfg)
    task, videos, _ = _prepare(cfg, device)
    if task is not None and videos is not None:
        dry_run(cfg, task, videos, Path(cfg.OUTPUT_DIR), device)


def _prepare(cfg: CfgNode, device: torch.device) -> tuple[Task | None, VideoList | None, Checkpoints | None]:
    """Build and check what can be checked before the run.

    Returns:
        Task and list of the training, if any, and the checkpoints of an evaluation without training.
    """
    if not (cfg.TRAIN.ENABLE or cfg.TEST.ENABLE):
        raise UsageError("TRAIN.ENABLE and TEST.ENABLE are both False: there is nothing to do")
    task = _create_task(cfg, device) if cfg.TRAIN.ENABLE else None
    if is_main() and cfg.SYNTHETIC.GENERATE:
        generate_from_config(cfg)
    barrier()
    checkpoints = check_test(cfg) if cfg.TEST.ENABLE else None
    listed = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT) if cfg.TRAIN.ENABLE else None
    return task, listed, checkpoints


def _create_task(cfg: CfgNode, device: torch.device) -> Task:
    check_batch(cfg)
    check_trackers(cfg)
    task = create_task(cfg).to(device)
    check_solver(cfg, task.parameter_groups(), device)
    return task


def import_custom(cfg: CfgNode) -> None:
    """Import the modules that register the user's components."""
    import_components(cfg.CUSTOM_IMPORTS, source="CUSTOM_IMPORTS")
