"""Trains a task on videos in a folder, from the newest checkpoint there to the end."""

import contextlib
import dataclasses
import functools
import logging
from pathlib import Path
from typing import Any

import torch

from stica_pv.config import CfgNode
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.data.manifest.bad_files import NAME as BAD_FILES
from stica_pv.data.manifest.bad_files import BadFiles
from stica_pv.data.manifest.videos import Videos
from stica_pv.distributed import barrier, is_main, world_size
from stica_pv.engine.checkpoint import checkpoint_path, save_checkpoint
from stica_pv.engine.config import loop_settings_from_config, peak_lr, schedule_from_config
from stica_pv.engine.loaders import create_loader, create_sampler, repeat
from stica_pv.engine.loop import AtEpochEnd, TrainState, train
from stica_pv.engine.out_of_memory import fails_when_full, training_advice
from stica_pv.engine.profiling import StepProfile
from stica_pv.engine.records import METRIC_DESCRIPTIONS, Records
from stica_pv.engine.resume import check_same_position, find_checkpoint
from stica_pv.engine.run_folder import write_run_info
from stica_pv.engine.skip_list import SkipList
from stica_pv.engine.start_table import start_table
from stica_pv.engine.state import content_of, create_state, restore
from stica_pv.engine.trackers import trackers_from_config
from stica_pv.errors import RunStopped
from stica_pv.tasks import Task

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Training:
    """Inputs of a training, without its changing state.

    Attributes:
        cfg: Configuration of solver, loop and loading.
        task: The method.
        videos: Videos of an epoch, each as often as an epoch uses it.
        distinct: Number of distinct videos.
        folder: Folder of checkpoints and records.
        device: Device of this process.
    """

    cfg: CfgNode
    task: Task
    videos: Videos
    distinct: int
    folder: Path
    device: torch.device


def run_training(
    cfg: CfgNode,
    task: Task,
    videos: Videos,
    folder: Path,
    device: torch.device,
    *,
    repeats_per_epoch: int = 1,
    at_epoch_end: AtEpochEnd | None = None,
    profile_steps: int = 0,
    batch_key: str = "TRAIN.BATCH_SIZE",
) -> None:
    """Trains `task` from its newest checkpoint in `folder`.

    Args:
        cfg: Configuration of solver, loop and loading.
        task: The method, on `device`.
        videos: The usable videos.
        folder: Folder of checkpoints and records.
        device: Device of this process.
        repeats_per_epoch: Number of samples of each video per epoch, each with its own random numbers.
        at_epoch_end: Called after each epoch, returns numbers to record; see `stica_pv.engine.loop.train`.
        profile_steps: Number of steps to profile; see `stica_pv.engine.profiling`.
        batch_key: Key of the batch size, for the advice if a GPU is out of memory.

    Raises:
        UsageError: The folder contains another training, or the settings do not fit the videos.
        RunFailed: The training cannot continue.
        RunStopped: A signal stopped it; a checkpoint is saved.
    """
    checkpoint = find_checkpoint(folder, resume=cfg.TRAIN.AUTO_RESUME, list_hash=videos.list_hash)
    training = Training(cfg, task, repeat(videos, repeats_per_epoch), len(videos.paths), folder, device)
    sampler = create_sampler(cfg, training.videos, checkpoint["step"] if checkpoint else 0)
    state = create_state(cfg, task, device)
    if checkpoint:
        restore(state, task, checkpoint)
    check_same_position(step=state.step, end=sampler.end, list_hash=videos.list_hash)
    if is_main():
        info = {**derived_info(cfg, task, training.videos, sampler), "videos": training.distinct}
        write_run_info(folder, {**info, "metrics": {**METRIC_DESCRIPTIONS, **task.metric_descriptions()}})
        logger.info("training\n%s", start_table(cfg, task, info, device))
    if state.step >= sampler.end:
        logger.info("already trained: %d steps are done", state.step)
        if at_epoch_end is None:
            return
    with fails_when_full(lambda: f"step {state.step}", training_advice(cfg, batch_key)):
        _train(training, state, sampler, at_epoch_end, profile_steps)


def derived_info(cfg: CfgNode, task: Task, videos: Videos, sampler: StepSampler) -> dict[str, Any]:
    """Returns settings derived from configuration and data."""
    return {
        "videos": len(videos.paths),
        "videos_excluded": len(videos.excluded),
        "videos_silent": videos.silent,
        "list_hash": videos.list_hash,
        "batch_size": cfg.TRAIN.BATCH_SIZE,
        "processes": world_size(),
        "negatives": task.negatives(cfg.TRAIN.BATCH_SIZE),
        **task.sizes(),
        "peak_lr": peak_lr(cfg),
        "steps_per_epoch": sampler.steps_per_epoch,
        "videos_left_over": len(videos.paths) % cfg.TRAIN.BATCH_SIZE,  # in an epoch: other ones each time
        "steps": sampler.end,
        "parameters": sum(p.numel() for p in task.parameters()),
    }


def _train(
    training: Training,
    state: TrainState,
    sampler: StepSampler,
    at_epoch_end: AtEpochEnd | None,
    profile_steps: int,
) -> None:
    cfg, folder, paths, start = training.cfg, training.folder, training.videos.paths, state.step
    loader = create_loader(cfg, training.task.views(), training.videos, sampler)
    bad_files = _begin_bad_files(training)
    skip_list = SkipList(bad_files.path, loader.dataset, sampler)
    skip_list.update()
    records = _open_records(cfg, folder, state.step) if is_main() else None
    # As for the learning rate, TRAIN.MAX_STEPS does not count: a run that it stops may be continued.
    whole = cfg.SOLVER.MAX_EPOCH * sampler.steps_per_epoch
    try:
        profiling = StepProfile(folder, profile_steps if is_main() else 0, training.device)
        with profiling as profile, contextlib.closing(iter(loader)) as batches:

            def after_step(step: int) -> None:
                training.task.after_step(step, whole)
                profile.after_step(step)
                skip_list.after_step(step)

            train(
                state,
                batches,
                sampler,
                schedule_from_config(cfg, sampler.steps_per_epoch),
                loop_settings_from_config(cfg, sampler.steps_per_epoch, sampler.end),
                device=training.device,
                records=records,
                save=functools.partial(_save, training, sampler.steps_per_epoch),
                report_failures=bad_files.report,
                name_samples=lambda step: [paths[index] for index in sampler.local_indices(step)],
                after_step=after_step,
                at_epoch_end=at_epoch_end,
            )
    except RunStopped:
        _log_summary(records, start, state.step, folder)
        raise
    else:
        _log_summary(records, start, state.step, folder)
    finally:
        if records is not None:
            records.close()


def _log_summary(records: Records | None, start: int, step: int, folder: Path) -> None:
    if records is not None and step > start:
        logger.info("%s", records.summary.line(step, checkpoint_path(folder, step)))


def _begin_bad_files(training: Training) -> BadFiles:
    """Creates the list of unreadable files, with the videos that are not used."""
    bad_files = BadFiles(training.folder / BAD_FILES, training.distinct, training.cfg.DATA.MAX_BAD_SHARE)
    if is_main():
        bad_files.begin(training.videos.excluded)
    barrier()
    return bad_files


def _open_records(cfg: CfgNode, folder: Path, step: int) -> Records:
    return Records(folder, resume_step=step, trackers=trackers_from_config(cfg, folder, step))


def _save(training: Training, steps_per_epoch: int, state: TrainState) -> None:
    cfg, list_hash = training.cfg, training.videos.list_hash
    content = content_of(state, training.task, cfg, list_hash=list_hash, steps_per_epoch=steps_per_epoch)
    if is_main():
        save_checkpoint(
            checkpoint_path(training.folder, state.step),
            content,
            keep=cfg.TRAIN.CHECKPOINT_KEEP,
            keep_every=cfg.TRAIN.CHECKPOINT_KEEP_EVERY * steps_per_epoch,
        )
