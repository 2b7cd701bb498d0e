"""What each of two gloo processes does for the tests of divided weights: one training, divided and undivided."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tiny_vit import INDICES, batch_of, vit_task
from torch import Tensor, nn

from stica_pv.config import CfgNode, apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.distributed import join
from stica_pv.engine.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint
from stica_pv.engine.health import check_weights
from stica_pv.engine.loop import LoopSettings, train_step
from stica_pv.engine.optimizer import set_lr
from stica_pv.engine.state import TrainState, content_of, create_state, restore
from stica_pv.errors import RunFailed
from stica_pv.models.activation_checkpoint import checkpoint_stages
from stica_pv.tasks import AVContrastive

CPU = torch.device("cpu")
CLIP = 0.05  # below the norms of the gradients, so that they are clipped
OPTIMIZERS = ("adamw", "sgd")
SETTINGS = LoopSettings(1, 9, 1, 9, 9.0, clip_grad=CLIP)


class Order:
    """The samples of a process: its half of the batch."""

    batch_size, steps_per_epoch = len(INDICES), 9

    def epoch_of(self, step: int) -> int:
        return 0

    def local_indices(self, step: int) -> tuple[int, ...]:
        return INDICES[2 * dist.get_rank() : 2 * dist.get_rank() + 2]


def sharding_job(rank: int, folder: Path) -> dict[str, Any]:
    """What the process found, by optimizer, and what it says of weights that are not finite."""
    return {method: compare(method, folder / method) for method in OPTIMIZERS} | {"not finite": not_finite(rank)}


def config(method: str, *, sharded: bool) -> CfgNode:
    cfg = get_cfg()
    keys = ["TRAIN.SHARD_PARAMETERS", str(sharded), "SOLVER.OPTIMIZING_METHOD", method, "TRAIN.BATCH_SIZE", "4"]
    apply_overrides(cfg, keys)
    return cfg


def begin(cfg: CfgNode) -> tuple[AVContrastive, TrainState]:
    task = vit_task()
    checkpoint_stages(task.backbone)
    state = create_state(cfg, task, CPU)
    for part in task.modules():
        if hasattr(part, "num_batches_tracked"):
            part.eval()
    return task, state


def advance(state: TrainState) -> dict[str, Tensor]:
    """One step; its logged numbers, the norm of the gradient among them."""
    set_lr(state.optimizer, 0.1)
    terms = train_step(state, batch_of(Order().local_indices(0)), Order(), SETTINGS)
    state.step += 1
    return terms.scalars


def content(state: TrainState, task: nn.Module, cfg: CfgNode) -> dict[str, Any]:
    return content_of(state, task, cfg, list_hash="abc", steps_per_epoch=9)


def compare(method: str, folder: Path) -> dict[str, Any]:
    """Two steps, a checkpoint, a third step, and the third step of a run that resumed, divided and undivided."""
    found: dict[str, Any] = {}
    for sharded in (False, True):
        cfg = config(method, sharded=sharded)
        task, state = begin(cfg)
        steps = [advance(state), advance(state)]
        saved = content(state, task, cfg)
        path = checkpoint_path(folder / str(sharded), 2)
        if dist.get_rank() == 0:
            save_checkpoint(path, saved, keep=1)
        dist.barrier()
        steps.append(advance(state))
        again, resumed = begin(cfg)
        restore(resumed, again, load_checkpoint(path))
        last = advance(resumed)
        found["divided" if sharded else "whole"] = {
            "steps": steps,
            "resumed step": last,
            "local share": share_of(task),
            "weights": {name: join(value).clone() for name, value in task.state_dict().items()},
            "resumed weights": {name: join(value).clone() for name, value in again.state_dict().items()},
            "checkpoint": load_checkpoint(path),
        }
    return found


def share_of(task: nn.Module) -> float:
    return sum(part_of(p).numel() for p in task.parameters()) / sum(p.numel() for p in task.parameters())


def part_of(parameter: Tensor) -> Tensor:
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


def not_finite(rank: int) -> str:
    """The message of every process when one holds the part of a weight that is not finite."""
    task, state = begin(config("sgd", sharded=True))
    if rank == 1:
        with torch.no_grad():
            part_of(next(iter(task.parameters()))).fill_(torch.inf)
    try:
        check_weights(state.parameters, 7)
    except RunFailed as error:
        return str(error)
    return ""
