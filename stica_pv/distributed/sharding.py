"""Weights divided over the processes (FSDP2): each keeps a part of every weight, its gradient and its optimizer state.

A group of weights is joined when its module is called, in the forward and in the backward pass, and divided again
afterwards. Checkpoints hold the joined tensors, so their format is that of an undivided run.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stica_pv.distributed.environment import is_main, world_size


def shard_parameters(module: nn.Module, groups: Iterable[nn.Module], device: torch.device) -> None:
    """Divides the weights of `module` over all processes, in place; every process must hold the same weights.

    Args:
        module: Module whose forward pass is a step.
        groups: Parts of it that are joined one at a time; the rest is one group.
        device: Device of this process.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()  # FSDP2 refuses other memory formats
    mesh = init_device_mesh(device.type, (world_size(),))
    for group in groups:
        if any(True for _ in group.parameters()):
            fully_shard(group, mesh=mesh)
    fully_shard(module, mesh=mesh)


def local_part(tensor: Any) -> Tensor:
    """Returns the part of a divided tensor that this process holds; other tensors as they are."""
    part: Tensor = tensor.to_local() if _is_divided(tensor) else tensor
    return part


def join(tensor: Any) -> Tensor:
    """Returns the whole of a divided tensor; other tensors as they are. All processes call it."""
    whole: Tensor = tensor.full_tensor() if _is_divided(tensor) else tensor
    return whole


def join_on_main(tree: Any) -> Any:
    """Joins every divided tensor in dictionaries and lists, on the CPU of the main process.

    All processes call it. One tensor is joined at a time, and the others drop theirs, which become empty.
    """
    if _is_divided(tree):
        whole = tree.full_tensor()
        return whole.cpu() if is_main() else whole.new_empty(0)
    if isinstance(tree, dict):
        return {name: join_on_main(value) for name, value in tree.items()}
    return [join_on_main(value) for value in tree] if isinstance(tree, list) else tree


def divide_like(whole: Any, own: Any) -> Any:
    """Returns this process's part of a tensor that all processes hold, if `own` is divided; otherwise the tensor."""
    if not (_is_divided(own) and isinstance(whole, Tensor) and whole.shape == own.shape):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole.to(own.dtype), own.device_mesh, own.placements, src_data_rank=None)


def _is_divided(value: Any) -> bool:
    return hasattr(value, "full_tensor")  # a `DTensor`, whose import takes half a second that most runs need not spend
