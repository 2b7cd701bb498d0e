"""STiCA trained by 1, 2 or 4 gloo processes on the same global batch, plainly or with gradient caching."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tiny_task import tiny_batch
from torch import Tensor, nn
from torch.multiprocessing import start_processes
from torch.nn.parallel import DistributedDataParallel
from two_processes import TASKS, create_task

from stica_pv.distributed import gather, synchronize_batch_norm
from stica_pv.engine.gradient_cache import CachedModel, Embedder
from stica_pv.structures import StepKeys

# 16 videos, so that each of 4 processes has two chunks of two. Two processes of 4 have no audio in one of theirs.
AUDIO_VALID = {index: 0.0 if index in (2, 3, 7, 12, 13) else 0.5 if index == 9 else 1.0 for index in range(16)}
CHUNKS = 2  # a process
STEPS = 2
PATHS = ("plain", "cached")

Notes = dict[str, dict[str, Tensor]]


def rows_of(rank: int, world: int) -> list[int]:
    """The videos of a process, chunk by chunk.

    Chunk k of all processes together is the same set of videos for any number of processes: that is what a
    batch-norm that is synchronized over processes, and taken per chunk, sees.
    """
    size = len(AUDIO_VALID) // CHUNKS // world
    starts = [chunk * len(AUDIO_VALID) // CHUNKS + rank * size for chunk in range(CHUNKS)]
    return [index for start in starts for index in range(start, start + size)]


def model_of(task: Any, path: str, world: int) -> nn.Module | CachedModel:
    """Wraps a task as a run does."""

    def parallel(module: nn.Module) -> nn.Module:
        return DistributedDataParallel(module, broadcast_buffers=False, gradient_as_bucket_view=True)

    wrap = parallel if world > 1 else lambda module: module
    if path == "plain":
        return wrap(task)
    return CachedModel(task, wrap(Embedder(task)), chunk=len(AUDIO_VALID) // CHUNKS // world)


def train(name: str, path: str, rank: int, world: int) -> list[Notes]:
    """Takes steps of gradient descent; notes the numbers, gradients and batch-norm statistics of each."""
    task = create_task(name)
    if world > 1:
        synchronize_batch_norm(task, torch.device("cpu"))
    model = model_of(task, path, world)
    optimizer = torch.optim.SGD(task.parameters(), lr=0.1, momentum=0.9)
    indices = tuple(rows_of(rank, world))
    batch, notes = tiny_batch(indices, tuple(AUDIO_VALID[index] for index in indices)), []
    for step in range(STEPS):
        terms = model(batch, task.sample_params(StepKeys(seed=1, step=step, epoch=0, indices=indices)))
        optimizer.zero_grad()
        terms.total.backward()
        if isinstance(model, CachedModel):
            model.finish()
        scalars = {"total": terms.total.detach(), **terms.scalars}
        buffers = {key: value.clone() for key, value in task.named_buffers() if "running" in key or "tracked" in key}
        gradients = {key: value.grad.clone() for key, value in task.named_parameters() if value.grad is not None}
        notes.append({"scalars": means(scalars), "gradients": gradients, "buffers": buffers})
        optimizer.step()
    return notes


def means(scalars: dict[str, Tensor]) -> dict[str, Tensor]:
    """Means over the processes, in float64."""
    rows = torch.stack([value.double() for value in scalars.values()]).view(1, 1, -1)
    mean = gather({"rows": rows}, with_gradient=False)["rows"].mean(dim=(0, 1))
    return dict(zip(scalars, mean.unbind(), strict=True))


def train_all(rank: int, world: int, folder: str, paths: Sequence[str] = PATHS) -> None:
    """Entry of a process; writes ``<rank>.pt``."""
    torch.set_num_threads(1)
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world, timeout=timedelta(minutes=5))
    try:
        notes = {(name, path): train(name, path, rank, world) for name in TASKS for path in paths}
        torch.save(notes, Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()


def in_processes(world: int, folder: Path) -> list[dict[tuple[str, str], list[Notes]]]:
    """Trains all tasks on `world` processes; what each noted."""
    start_processes(train_all, args=(world, str(folder)), nprocs=world, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(world)]
