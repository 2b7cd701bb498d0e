"""Batch-norm whose statistics are those of the global batch.

GPUs get PyTorch's `SyncBatchNorm`. It refuses CPU tensors, so CPU processes get `CrossProcessBatchNorm`, which gives
the same numbers: statistics over the global count, unbiased running variance.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stica_pv.distributed.collectives import all_sum
from stica_pv.distributed.environment import world_size


def global_moments(x: Tensor, dims: tuple[int, ...], *, synchronise: bool) -> tuple[Tensor, Tensor, float]:
    """Returns (mean, biased variance, count) of `x` over `dims` (kept as 1) and, if asked, over all processes.

    The count is that of the equal local batches times the number of processes.
    """
    count = 1
    for dim in dims:
        count *= x.shape[dim]
    if not synchronise or world_size() == 1:
        variance, mean = torch.var_mean(x, dim=dims, correction=0, keepdim=True)
        return mean, variance, count
    total = count * world_size()
    mean = all_sum(x.sum(dims, keepdim=True)) / total
    variance = all_sum((x - mean).square().sum(dims, keepdim=True)) / total
    return mean, variance, total


class CrossProcessBatchNorm(_BatchNorm):
    """Synchronised batch-norm for CPU processes, for inputs (B, C, …) of any rank."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - the name in torch
        if input.ndim < 2:
            raise ValueError(f"expected (B, C, …), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in torch
        """Normalises (B, C, …) per channel."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        dims = (0, *range(2, input.ndim))
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        mean, variance, count = global_moments(x, dims, synchronise=True)
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            with torch.no_grad():
                self.num_batches_tracked += 1
                momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.flatten().to(self.running_mean.dtype), momentum)
                unbiased = variance.flatten() * (count / (count - 1))
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), momentum)
        normalised = (x - mean) * torch.rsqrt(variance + self.eps)
        if self.weight is not None:
            shape = (1, -1, *(1 for _ in range(2, input.ndim)))
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)


def synchronise_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """Replaces every batch-norm of `module` by one over all processes; returns the module."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, CrossProcessBatchNorm):
            setattr(module, name, _as_cross_process(child))
        else:
            synchronise_batch_norm(child, device)
    return module


def _as_cross_process(norm: _BatchNorm) -> CrossProcessBatchNorm:
    new = CrossProcessBatchNorm(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    # The tensors themselves: they keep their dtype, device and requires_grad, as in PyTorch's own conversion.
    new.weight, new.bias = norm.weight, norm.bias
    new.running_mean, new.running_var = norm.running_mean, norm.running_var
    new.num_batches_tracked = norm.num_batches_tracked
    return new.train(norm.training)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Keeps the running statistics of every batch-norm of `module` as they are while entered."""
    norms: list[Any] = [part for part in module.modules() if hasattr(part, "num_batches_tracked")]
    momenta = [norm.momentum for norm in norms]
    counts = [norm.num_batches_tracked.clone() for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum, count in zip(norms, momenta, counts, strict=True):
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(count)
