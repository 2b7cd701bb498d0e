"""Optimizers from a task's parameter groups."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from stica_pv.engine.lars import LARS, MASKS
from stica_pv.errors import UsageError, check_choice

OPTIMIZERS = ("sgd", "adamw", "lars")


class Group(Protocol):
    """Parameters that share a learning-rate factor, as a task names them."""

    @property
    def name(self) -> str: ...  # noqa: D102 - a protocol's attributes
    @property
    def parameters(self) -> Sequence[nn.Parameter]: ...  # noqa: D102
    @property
    def lr_scale(self) -> float: ...  # noqa: D102


def create_optimizer(
    groups: Sequence[Group],
    *,
    method: str,
    momentum: float = 0.9,
    nesterov: bool = False,
    betas: tuple[float, float] = (0.9, 0.999),
    weight_decay: float = 0.0,
    decay_1d: bool = True,
    fused: bool = False,
    lars_mask: str = "intended",
    lars_trust: float = 0.001,
) -> Optimizer:
    """Builds the optimizer; the engine sets the learning rate of each step with `set_lr`.

    Args:
        groups: Parameters by learning-rate factor.
        method: ``sgd``, ``adamw`` or ``lars``.
        momentum: Momentum of SGD and LARS.
        nesterov: Whether SGD and LARS use Nesterov momentum.
        betas: Coefficients of AdamW.
        weight_decay: L2 (SGD, LARS) or decoupled (AdamW).
        decay_1d: Whether biases and normalization weights decay too, as in the runs of the paper; for SGD and AdamW.
        fused: Whether to use the fused kernels; the same numbers up to rounding.
        lars_mask: Parameters that LARS decays and scales by length. ``intended``: all but biases and normalization
            weights, and a group's factor is on the learning rate. ``released``: BraVe's release inverts this: only
            biases and normalization weights, and a group's factor is on the gradient.
        lars_trust: Trust coefficient of LARS.

    Raises:
        UsageError: The optimizer refuses one of the numbers.
    """
    check_choice("SOLVER.OPTIMIZING_METHOD", method, OPTIMIZERS)
    if weight_decay < 0:
        raise UsageError(f"SOLVER.WEIGHT_DECAY must be >= 0, got {weight_decay}")
    try:
        if method == "lars":
            mask = check_choice("SOLVER.LARS_MASK", lars_mask, MASKS)
            if fused:
                raise UsageError("SOLVER.FUSED: lars has no fused kernels; set it to False")
            lars_groups = _lars_groups(groups, weight_decay, released=mask == "released")
            return LARS(lars_groups, momentum=momentum, nesterov=nesterov, trust=lars_trust)
        param_groups = [group for _, group in _split(groups, weight_decay, lambda p: decay_1d or p.ndim > 1)]
        if method == "sgd":
            sgd = torch.optim.SGD(param_groups, lr=0.0, momentum=momentum, nesterov=nesterov, fused=fused)
            if fused and momentum:
                _fill_momentum(sgd)
                sgd.register_load_state_dict_post_hook(_fill_momentum)  # a checkpoint may lack some
            return sgd
        return torch.optim.AdamW(param_groups, lr=0.0, betas=betas, fused=fused)
    except UsageError:
        raise
    except ValueError as error:  # momentum, Nesterov and betas are checked there
        raise UsageError(f"SOLVER: {error}") from error


def _fill_momentum(sgd: Optimizer) -> None:
    """Sets missing momentum buffers to 0, from which the first step is the usual one.

    Otherwise the fused kernel uses uninitialized memory, and keeps it if the loss scaler skips that step.
    """
    for group in sgd.param_groups:
        for parameter in group["params"]:
            state = sgd.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)


def _split(
    groups: Sequence[Group], weight_decay: float, decays: Callable[[nn.Parameter], bool]
) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Yields (whether the parameters decay, group of the optimizer) for both halves of each group."""
    for group in groups:
        for chosen in (True, False):
            parameters = [p for p in group.parameters if decays(p) is chosen]
            if parameters:
                decay = weight_decay if chosen else 0.0
                yield (
                    chosen,
                    {"params": parameters, "name": group.name, "lr_scale": group.lr_scale, "weight_decay": decay},
                )


def _lars_groups(groups: Sequence[Group], weight_decay: float, *, released: bool) -> list[dict[str, Any]]:
    found = []
    for scaled, group in _split(groups, weight_decay, lambda p: (p.ndim > 1) is not released):
        factor = group["lr_scale"]
        found.append(group | {"scaled": scaled} | ({"lr_scale": 1.0, "grad_scale": factor} if released else {}))
    return found


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Sets the learning rate of every group, times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
