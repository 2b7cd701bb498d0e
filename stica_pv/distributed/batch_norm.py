"""Batch-norm with the statistics of the global batch.

GPUs use PyTorch's `SyncBatchNorm`. It refuses CPU tensors, so CPU processes use `CrossProcessBatchNorm`, which computes
the same numbers: statistics over the global count, unbiased running variance.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from stica_pv.distributed.collectives import all_sum
from stica_pv.distributed.environment import world_size


def global_moments(x: Tensor, dims: tuple[int, ...], *, synchronize: bool) -> tuple[Tensor, Tensor, float]:
    """Returns (mean, biased variance, count) of `x` over `dims` (kept as 1) and, if asked, over all processes.

    The count is that of the equal local batches times the number of processes.
    """
    count = 1
    for dim in dims:
        count *= x.shape[dim]
    if not synchronize or world_size() == 1:
        variance, mean = torch.var_mean(x, dim=dims, correction=0, keepdim=True)
        return mean, variance, count
    total = count * world_size()
    mean = all_sum(x.sum(dims, keepdim=True)) / total
    variance = all_sum((x - mean).square().sum(dims, keepdim=True)) / total
    return mean, variance, total


class _Normalize(torch.autograd.Function):
    """Normalizes (B, C, …) by moments of the global batch, with the fused kernels of one process.

    With x̂ = (x − mean) / std and means over the global batch, x has the gradient
    weight / std · (g − mean(g) − x̂ · mean(g · x̂)).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps = eps
        return functional.batch_norm(x, mean, variance, weight, bias, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, mean, variance, mean, scale, True, ctx.eps, [False, True, True]
        )
        means = torch.stack((of_bias, of_weight))
        dist.all_reduce(means)
        means /= x.numel() / x.shape[1] * world_size()
        if weight is not None:
            scale = scale * weight
        of_x = functional.batch_norm(x, mean, variance, -scale * means[1], -scale * means[0], eps=ctx.eps)
        of_x.addcmul_(grad, scale.view(-1, *(1 for _ in range(2, x.ndim))))
        return of_x, *((None, None) if weight is None else (of_weight, of_bias)), None, None, None


class CrossProcessBatchNorm(_BatchNorm):
    """Synchronized batch-norm for CPU processes, for inputs (B, C, …) of any rank.

    Processes communicate twice per layer: means and variances in the forward pass, gradient sums in the backward pass.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - the name in torch
        if input.ndim < 2:
            raise ValueError(f"expected (B, C, …), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name in torch
        """Normalizes (B, C, …) per channel."""
        if not self.training or world_size() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        mean, variance = _moments_over_processes(x.detach())
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            count = x.numel() // x.shape[1] * world_size()
            with torch.no_grad():
                self.num_batches_tracked += 1
                momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
                self.running_var.lerp_((variance * (count / (count - 1))).to(self.running_var.dtype), momentum)
        y: Tensor = _Normalize.apply(x, self.weight, self.bias, mean, variance, self.eps)  # type: ignore[no-untyped-call]
        return y.to(input.dtype)


def _moments_over_processes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns mean and biased variance (C,) over the equal batches (B, C, …) of all processes, in one collective."""
    # The kernel of torch's own batch-norm on a CPU: one pass, biased variance; `var_mean` is up to ten times slower.
    local = torch.stack(torch.batch_norm_update_stats(x, None, None, 0.0))
    parts = [torch.empty_like(local) for _ in range(world_size())]
    dist.all_gather(parts, local)
    means, variances = torch.stack(parts, dim=1)
    mean = means.mean(0)
    return mean, variances.mean(0) + (means - mean).square().mean(0)


def synchronize_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """Replaces every batch-norm of `module` by one over all processes; returns the module."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm) and not isinstance(child, CrossProcessBatchNorm):
            setattr(module, name, _as_cross_process(child))
        else:
            synchronize_batch_norm(child, device)
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
