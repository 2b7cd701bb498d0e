"""Collective operations with gradients, and the one gather of a step."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from stica_pv.distributed.environment import rank, world_size
from stica_pv.structures import Embeddings


class _Sum(torch.autograd.Function):
    """Sum over processes; each process' loss depends on the sum, so gradients are summed as well."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class _Gather(torch.autograd.Function):
    """Rows of all processes in rank order; the gradient of a row is summed over the processes that used it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = [torch.empty_like(x) for _ in range(world_size())]
        dist.all_gather(parts, x)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.contiguous().clone()
        dist.all_reduce(total)
        return total.chunk(world_size())[rank()]


def all_sum(x: Tensor) -> Tensor:
    """Returns the sum of `x` over all processes, with gradient."""
    return _Sum.apply(x) if world_size() > 1 else x  # type: ignore[no-untyped-call]


def mean_over_processes(x: Tensor) -> Tensor:
    """Returns the mean of `x` over all processes, without gradient."""
    if world_size() == 1:
        return x.detach()
    total = x.detach().clone()
    dist.all_reduce(total)
    return total / world_size()


def gather(local: Embeddings, *, with_gradient: bool) -> Embeddings:
    """Gathers the embeddings of all processes in one collective.

    Args:
        local: Groups (G, B, D), or none; B must be the same on every process.
        with_gradient: Whether gradients flow to the rows of other processes; otherwise the result is detached.

    Returns:
        The same groups as (G, W·B, D) in rank order.
    """
    if world_size() == 1 or not local:
        return local if with_gradient else {name: rows.detach() for name, rows in local.items()}
    names = list(local)
    shapes = [local[name].shape for name in names]
    dtype = local[names[0]].dtype
    packed = torch.cat([local[name].to(dtype).transpose(0, 1).flatten(1) for name in names], dim=1)
    if with_gradient:
        rows = _Gather.apply(packed.contiguous())  # type: ignore[no-untyped-call]
    else:
        parts = [torch.empty_like(packed) for _ in range(world_size())]
        dist.all_gather(parts, packed.detach().contiguous())
        rows = torch.cat(parts)
    columns = rows.split([groups * dim for groups, _, dim in shapes], dim=1)
    return {
        name: column.unflatten(1, (groups, dim)).transpose(0, 1)
        for name, column, (groups, _, dim) in zip(names, columns, shapes, strict=True)
    }


def mean_in_order(state: object, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """Averages gradients over the processes, always adding in the order of ranks: a hook of DistributedDataParallel.

    After the first step torch changes the layout of the gradients. With more than two CPU processes gloo's sum depends
    on the position of a number in the buffer, and a resumed run would differ in the last bits.
    """
    parts = [torch.empty_like(bucket.buffer()) for _ in range(world_size())]
    work = dist.all_gather(parts, bucket.buffer(), async_op=True)

    def mean(_: object) -> Tensor:
        for part in parts[1:]:
            parts[0].add_(part)
        return parts[0].div_(len(parts))

    return work.get_future().then(mean)
