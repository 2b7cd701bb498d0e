"""The changing state of a run: created from a task, saved to checkpoints and restored from them."""

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from stica_pv.config import CfgNode
from stica_pv.credentials import without_credentials
from stica_pv.distributed import mean_in_order, synchronize_batch_norm, world_size
from stica_pv.engine.checkpoint import Checkpoint
from stica_pv.engine.config import amp_dtype_from_config, optimizer_from_config
from stica_pv.engine.gradient_cache import CachedModel, Embedder
from stica_pv.engine.loop import TrainState
from stica_pv.engine.meter import Meter
from stica_pv.errors import UsageError
from stica_pv.tasks import Task


def create_state(cfg: CfgNode, task: Task, device: torch.device) -> TrainState:
    """Wraps a task for the configuration and the number of processes, and creates its optimizer."""
    if world_size() > 1 and cfg.BN.SYNC:
        synchronize_batch_norm(task, device)
    task.train()
    if cfg.TRAIN.COMPILE:
        for network in networks_of(task):
            network.compile()
    optimizer = optimizer_from_config(cfg, task.parameter_groups())
    scaler = torch.amp.GradScaler(device.type, enabled=amp_dtype_from_config(cfg) is torch.float16)
    parameters = [p for p in task.parameters() if p.requires_grad]
    chunk, local_batch = cfg.TRAIN.GRAD_CACHE_CHUNK, cfg.TRAIN.BATCH_SIZE // world_size()
    if not chunk:
        return TrainState(_parallel(task), task.sample_params, optimizer, scaler, Meter(device), parameters)
    if chunk < 2 or local_batch % chunk:
        raise UsageError(
            f"TRAIN.GRAD_CACHE_CHUNK {chunk} must be at least 2 and divide the {local_batch} videos of each process"
        )
    model = CachedModel(task, _parallel(Embedder(task)), chunk=chunk)
    return TrainState(model, task.sample_params, optimizer, scaler, Meter(device), parameters, model.finish)


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
        task.load_state_dict(checkpoint["model"])
        state.optimizer.load_state_dict(checkpoint["optimizer"])
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


def _check_shapes(optimizer: torch.optim.Optimizer) -> None:
    """Raises `ValueError` if what the optimizer keeps for a parameter has another shape; torch does not check this."""
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, torch.Tensor) and value.dim() and value.shape != parameter.shape:
                raise ValueError(f"{name} has shape {tuple(value.shape)}, its parameter {tuple(parameter.shape)}")


def content_of(state: TrainState, task: Task, cfg: CfgNode, *, list_hash: str, steps_per_epoch: int) -> Checkpoint:
    """Returns what a checkpoint of a state holds: plain types and tensors."""
    return {
        "config": without_credentials(cfg.dump()),
        "step": state.step,
        "epoch_size": steps_per_epoch,
        "list_hash": list_hash,
        "model": task.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "meter": state.meter.state(),
    }
