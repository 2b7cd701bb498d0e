"""The training half of a run: data, optimiser and records around a task, then the loop."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from stica_pv.config import CfgNode
from stica_pv.data.bad_files import NAME as BAD_FILES
from stica_pv.data.bad_files import BadFiles, lasting_failures
from stica_pv.data.config import groups_from_config, manifest_path, reader_from_config
from stica_pv.data.dataset import ClipDataset
from stica_pv.data.loader import ClipLoader
from stica_pv.data.sampler import StepSampler
from stica_pv.data.sources import VideoList
from stica_pv.data.videos import Videos, open_videos
from stica_pv.distributed import barrier, is_main, rank, synchronise_batch_norm, world_size
from stica_pv.engine import Meter, Records, TrainState, load_latest, train
from stica_pv.engine.checkpoint import Checkpoint, checkpoint_path, list_checkpoints, save_checkpoint
from stica_pv.engine.config import (
    amp_dtype_from_config,
    loop_settings_from_config,
    optimizer_from_config,
    peak_lr,
    schedule_from_config,
)
from stica_pv.engine.gradient_cache import CachedModel, Embedder
from stica_pv.engine.profiling import StepProfile
from stica_pv.engine.run_folder import write_facts
from stica_pv.errors import UsageError
from stica_pv.structures import Views
from stica_pv.tasks import Task

logger = logging.getLogger(__name__)


def pretrain(
    cfg: CfgNode, task: Task, listed: VideoList, folder: Path, device: torch.device, profile_steps: int = 0
) -> bool:
    """Trains `task` on the usable part of a list, from its newest checkpoint; returns False if a signal stopped it."""
    videos = open_in_turn(listed, manifest_path(cfg, folder), task.views())
    checkpoint = _find_checkpoint(cfg, folder, videos)
    start = checkpoint["step"] if checkpoint else 0
    sampler = create_sampler(cfg, videos, start)
    state = create_state(cfg, task, device)
    if checkpoint:
        _restore(state, task, checkpoint)
    if is_main():
        facts = derived_facts(cfg, task, videos, sampler)
        write_facts(folder, facts)
        logger.info("%s", ", ".join(f"{name} {value}" for name, value in facts.items()))
    if start >= sampler.end:
        logger.info("already trained: %d steps are done", start)
        return True
    return _train(cfg, task, state, videos, sampler, folder, device, profile_steps)


def open_in_turn(listed: VideoList, manifest: Path, views: Views) -> Videos:
    """Opens a list; the main process reads the headers, the others then find the manifest complete."""
    if not is_main():
        barrier()
    videos = open_videos(
        listed, manifest=manifest, min_seconds=views.min_seconds, needs_audio=views.needs_audio, trust=not is_main()
    )
    if is_main():
        barrier()
    return videos


def _find_checkpoint(cfg: CfgNode, folder: Path, videos: Videos) -> Checkpoint | None:
    if not cfg.TRAIN.AUTO_RESUME:
        if list_checkpoints(folder):
            raise UsageError(
                f"OUTPUT_DIR {folder} holds checkpoints and TRAIN.AUTO_RESUME is False: "
                "choose another OUTPUT_DIR, or set it to True to continue"
            )
        return None
    checkpoint = load_latest(folder)
    if checkpoint and checkpoint["list_hash"] != videos.list_hash:
        raise UsageError(
            f"OUTPUT_DIR {folder} holds a run on another list of videos (hash {checkpoint['list_hash']}, "
            f"now {videos.list_hash}): restore the data, or choose another OUTPUT_DIR"
        )
    return checkpoint


def create_sampler(cfg: CfgNode, videos: Videos, start: int) -> StepSampler:
    """Plans the steps of this process from `start` to the end of the run."""
    sampler = StepSampler(
        len(videos.paths),
        batch_size=cfg.TRAIN.BATCH_SIZE,
        seed=cfg.RNG_SEED,
        start=start,
        rank=rank(),
        world_size=world_size(),
        groups=groups_from_config(cfg, videos.names),
    )
    planned: int = cfg.SOLVER.MAX_EPOCH * sampler.steps_per_epoch
    sampler.end = min(planned, cfg.TRAIN.MAX_STEPS) if cfg.TRAIN.MAX_STEPS > 0 else planned
    return sampler


def create_state(cfg: CfgNode, task: Task, device: torch.device) -> TrainState:
    """Wraps a task as the configuration and the number of processes ask, with its optimiser."""
    if world_size() > 1 and cfg.BN.SYNC:
        synchronise_batch_norm(task, device)
    task.train()
    if cfg.TRAIN.COMPILE:
        for encoder in task.encoders().values():
            for part in encoder.children():  # the networks themselves: the task calls them one by one
                if any(parameter.requires_grad for parameter in part.parameters()):
                    part.compile()
    optimizer = optimizer_from_config(cfg, task.parameter_groups())
    scaler = torch.amp.GradScaler(device.type, enabled=amp_dtype_from_config(cfg) is torch.float16)
    parameters = [p for p in task.parameters() if p.requires_grad]
    chunk, local_batch = cfg.TRAIN.CHUNK_SIZE, cfg.TRAIN.BATCH_SIZE // world_size()
    if not chunk:
        return TrainState(_parallel(task), task.draw, optimizer, scaler, Meter(device), parameters)
    if chunk < 2 or local_batch % chunk:
        raise UsageError(
            f"TRAIN.CHUNK_SIZE {chunk} must be at least 2 and divide the {local_batch} videos of each process"
        )
    model = CachedModel(task, _parallel(Embedder(task)), chunk=chunk)
    return TrainState(model, task.draw, optimizer, scaler, Meter(device), parameters, model.finish)


def _parallel(module: nn.Module) -> nn.Module:
    if world_size() == 1:
        return module
    parallel = DistributedDataParallel(module, gradient_as_bucket_view=True)  # no device ids: the loop moves the inputs
    parallel.broadcast_buffers = False  # they are equal on all ranks, or BN.SYNC was given up
    return parallel


def _restore(state: TrainState, task: Task, checkpoint: Checkpoint) -> None:
    task.load_state_dict(checkpoint["model"])
    state.optimizer.load_state_dict(checkpoint["optimizer"])
    state.scaler.load_state_dict(checkpoint["scaler"])
    state.meter.load(checkpoint["meter"])
    state.step = checkpoint["step"]


def derived_facts(cfg: CfgNode, task: Task, videos: Videos, sampler: StepSampler) -> dict[str, Any]:
    """What follows from configuration and data."""
    return {
        "videos": len(videos.paths),
        "videos_excluded": len(videos.excluded),
        "videos_silent": videos.silent,
        "list_hash": videos.list_hash,
        "batch_size": cfg.TRAIN.BATCH_SIZE,
        "processes": world_size(),
        "negatives": task.negatives(cfg.TRAIN.BATCH_SIZE),
        **task.facts(),
        "peak_lr": peak_lr(cfg),
        "steps_per_epoch": sampler.steps_per_epoch,
        "videos_left_over": len(videos.paths) % cfg.TRAIN.BATCH_SIZE,  # in an epoch: other ones each time
        "steps": sampler.end,
        "parameters": sum(p.numel() for p in task.parameters()),
    }


def create_loader(cfg: CfgNode, task: Task, videos: Videos, sampler: StepSampler) -> ClipLoader:
    """Builds the loader of what the task wants to see."""
    dataset = ClipDataset(
        videos.paths,
        videos.durations_s,
        task.views(),
        reader=reader_from_config(cfg),
        seed=cfg.RNG_SEED,
        labels=videos.labels,
    )
    workers, pin, start_method = (cfg.DATA_LOADER[key] for key in ("NUM_WORKERS", "PIN_MEMORY", "START_METHOD"))
    return ClipLoader(dataset, sampler, num_workers=workers, pin_memory=pin, start_method=start_method)


def _train(
    cfg: CfgNode,
    task: Task,
    state: TrainState,
    videos: Videos,
    sampler: StepSampler,
    folder: Path,
    device: torch.device,
    profile_steps: int,
) -> bool:
    loader = create_loader(cfg, task, videos, sampler)
    bad_files = BadFiles(folder / BAD_FILES, len(videos.paths), cfg.DATA.MAX_BAD_SHARE)
    if is_main():
        bad_files.begin(videos.excluded)
    barrier()
    loader.dataset.skip({path: sampler.epoch_of(step) for path, step in lasting_failures(bad_files.path).items()})
    records = _open_records(cfg, folder, state.step) if is_main() else None

    def save(state: TrainState) -> None:
        if is_main():
            content = _content(cfg, state, task, videos, sampler.steps_per_epoch)
            save_checkpoint(
                checkpoint_path(folder, state.step),
                content,
                keep=cfg.TRAIN.CHECKPOINT_KEEP,
                keep_every=cfg.TRAIN.CHECKPOINT_KEEP_EVERY * sampler.steps_per_epoch,
            )

    try:
        with StepProfile(folder, profile_steps if is_main() else 0) as profile:
            finished = train(
                state,
                loader,
                sampler,
                schedule_from_config(cfg, sampler.steps_per_epoch),
                loop_settings_from_config(cfg, sampler.steps_per_epoch, sampler.end),
                device=device,
                records=records,
                save=save,
                report_failures=bad_files.report,
                name_samples=lambda step: [videos.paths[index] for index in sampler.local_indices(step)],
                after_step=profile.after_step,
            )
        if records is not None:
            logger.info(
                "%s", records.summary.line(state.step, checkpoint_path(folder, state.step)), extra={"progress": False}
            )
        return finished
    finally:
        if records is not None:
            records.close()


def _open_records(cfg: CfgNode, folder: Path, step: int) -> Records:
    tensorboard = Path(cfg.TENSORBOARD.LOG_DIR or folder / "tensorboard") if cfg.TENSORBOARD.ENABLE else None
    return Records(folder, resume_step=step, tensorboard_dir=tensorboard)


def _content(cfg: CfgNode, state: TrainState, task: Task, videos: Videos, steps_per_epoch: int) -> Checkpoint:
    return {
        "config": cfg.dump(),
        "step": state.step,
        "epoch_size": steps_per_epoch,
        "list_hash": videos.list_hash,
        "model": task.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "meter": state.meter.state(),
    }
