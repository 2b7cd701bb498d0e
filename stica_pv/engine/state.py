"""The changing state of a run: created from a task, saved to checkpoints and restored from them."""

from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from stica_pv.config import CfgNode
from stica_pv.credentials import without_credentials
from stica_pv.distributed import (
    divide_like,
    join_on_main,
    mean_in_order,
    shard_parameters,
    synchronize_batch_norm,
    world_size,
)
from stica_pv.engine.checkpoint import Checkpoint
from stica_pv.engine.config import amp_dtype_from_config, optimizer_from_config
from stica_pv.engine.gradient_cache import CachedModel, Embedder
from stica_pv.engine.loop import TrainState
from stica_pv.engine.meter import Meter
from stica_pv.errors import UsageError
from stica_pv.models import Trunk
from stica_pv.tasks import Task


def create_state(cfg: CfgNode, task: Task, device: torch.device) -> TrainState:
    """Wraps a task for the configuration and the number of processes, and creates its optimizer."""
    if world_size() > 1 and cfg.BN.SYNC:
        synchronize_batch_norm(task, device)
    task.train()
    sharded = world_size() > 1 and cfg.TRAIN.SHARD_PARAMETERS
    if sharded:
        shard_parameters(task, _groups_of(task), device)
    if cfg.TRAIN.COMPILE:
        for network in networks_of(task):
            network.compile()
    optimizer = optimizer_from_config(cfg, task.parameter_groups())
    scaler = torch.amp.GradScaler(device.type, enabled=amp_dtype_from_config(cfg) is torch.float16)
    parameters = [p for p in task.parameters() if p.requires_grad]
    chunk, local_batch = cfg.TRAIN.GRAD_CACHE_CHUNK, cfg.TRAIN.BATCH_SIZE // world_size()
    if not chunk:
        model = task if sharded else _parallel(task)
        return TrainState(model, task.sample_params, optimizer, scaler, Meter(device), parameters)
    if chunk < 2 or local_batch % chunk:
        raise UsageError(
            f"TRAIN.GRAD_CACHE_CHUNK {chunk} must be at least 2 and divide the {local_batch} videos of each process"
        )
    cached = CachedModel(task, _parallel(Embedder(task)), chunk=chunk)
    return TrainState(cached, task.sample_params, optimizer, scaler, Meter(device), parameters, cached.finish)


def _groups_of(task: Task) -> list[nn.Module]:
    """Returns the parts of a task whose weights are joined one at a time: the stages of its trunks."""
    return [stage for part in task.modules() if isinstance(part, Trunk) for stage in part.stages()]


def networks_of(module: nn.Module) -> list[nn.Module]:
    """Returns the networks that a task calls one by one: its parts that learn, those of lists and dictionaries too."""
    found = []
    for part in module.children():
        if isinstance(part, nn.ModuleList | nn.ModuleDict):  # contains networks, and is never called itself
            found += networks_of(part)
        elif any(parameter.requires_grad for parameter in part.parameters()):
            found.append(part)
    return found


def _parallel(module: nn.Module) -> nn.Module:
    if world_size() == 1:
        return module
    parallel = DistributedDataParallel(module, gradient_as_bucket_view=True)  # no device ids: the loop moves the inputs
    if next(module.parameters()).device.type == "cpu" and world_size() > 2:
        parallel.register_comm_hook(None, mean_in_order)
    parallel.broadcast_buffers = False  # they are equal on all ranks, or BN.SYNC was given up
    return parallel


def restore(state: TrainState, task: Task, checkpoint: Checkpoint) -> None:
    """Restores a state from a checkpoint.

    Raises:
        UsageError: It is of other networks, or of another optimizer.
    """
    step = checkpoint["step"]
    try:
        own = task.state_dict()
        task.load_state_dict({name: divide_like(value, own.get(name)) for name, value in checkpoint["model"].items()})
        state.optimizer.load_state_dict(_divided(checkpoint["optimizer"], state.optimizer))
        _check_shapes(state.optimizer)
        state.scaler.load_state_dict(checkpoint["scaler"])
        state.meter.load(checkpoint["meter"])
    except (
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ) as error:  # raised by torch for missing entries
        raise UsageError(
            f"the checkpoint of step {step} does not fit the networks and the optimizer of this configuration "
            f"({type(error).__name__}: {' '.join(str(error).split())[:300]}): choose another OUTPUT_DIR"
        ) from error
    state.step = step


def _divided(stored: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Returns a stored state of the optimizer with tensors divided as the parameters are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    states = {
        number: {name: divide_like(value, parameters[number]) for name, value in kept.items()}
        for number, kept in stored["state"].items()
    }
    return stored | {"state": states}


def _check_shapes(optimizer: torch.optim.Optimizer) -> None:
    """Raises `ValueError` if what the optimizer keeps for a parameter has another shape; torch does not check this."""
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(f"{name} has shape {tuple(value.shape)}, its parameter {tuple(parameter.shape)}")


def content_of(state: TrainState, task: Task, cfg: CfgNode, *, list_hash: str, steps_per_epoch: int) -> Checkpoint:
    """Returns what a checkpoint of a state holds: plain types and tensors.

    All processes call it; where weights are divided, only the main one holds them afterwards.
    """
    return {
        "config": without_credentials(cfg.dump()),
        "step": state.step,
        "epoch_size": steps_per_epoch,
        "list_hash": list_hash,
        "model": join_on_main(task.state_dict()),
        "optimizer": join_on_main(state.optimizer.state_dict()),
        "scaler": state.scaler.state_dict(),
        "meter": state.meter.state(),
    }
