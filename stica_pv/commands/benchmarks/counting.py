"""Costs without timing: parameters, multiply-adds, and memory, of modules on the meta device or a real one."""

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import FlopCounterMode

from stica_pv.models import Maps, as_list


@dataclass(frozen=True)
class Counts:
    """Costs of a module for a batch of clips.

    Attributes:
        parameters: Number of trainable parameters.
        gmacs: Multiply-adds of convolutions and matrix products in one forward pass, in 10⁹ per clip.
        kept_mb: Memory kept for the backward pass, without parameters, in 2²⁰ bytes per clip.
        peak_forward_mb: Peak memory of results in a forward pass without gradient, for the batch.
        peak_step_mb: Peak memory of a forward and a backward pass, including gradients.
    """

    parameters: int
    gmacs: float
    kept_mb: float
    peak_forward_mb: float
    peak_step_mb: float


class Live(TorchDispatchMode):
    """Tracks the memory of all tensors that are created in its context, without the workspace of kernels.

    Attributes:
        peak: Peak number of bytes.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._now = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Runs an operation and records the storages that it created."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage())._cdata not in self._sizes:
                self._sizes[storage._cdata] = storage.nbytes()
                self._now += storage.nbytes()
                self.peak = max(self.peak, self._now)
                weakref.finalize(storage, self._gone, storage._cdata)
        return result

    def _gone(self, key: int) -> None:
        self._now -= self._sizes.pop(key, 0)


def count(module: nn.Module, *inputs: Any, clips: int) -> Counts:
    """Counts a module for a batch of `clips`; on the meta device nothing is computed."""
    with torch.no_grad(), Live() as forward:
        module.eval()(*inputs)
    kept_mb, gmacs = _kept_and_gmacs(module.train(), inputs)
    with Live() as step:
        sum_of_squares(module(*inputs)).backward()
    parameters = sum(p.numel() for p in module.parameters())
    return Counts(parameters, gmacs / clips, kept_mb / clips, forward.peak / 2**20, step.peak / 2**20)


def sum_of_squares(maps: Maps) -> Tensor:
    """Returns a scalar whose gradient reaches every value of the maps."""
    return torch.stack([one.square().sum() for one in as_list(maps)]).sum()


def _kept_and_gmacs(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[float, float]:
    kept: dict[int, Any] = {}
    own = {p.untyped_storage()._cdata for p in module.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage  # kept alive: the key of a freed storage may be reused
        return tensor

    def as_it_is(tensor: Tensor) -> Tensor:
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, as_it_is), FlopCounterMode(display=False) as flops:
        module(*inputs)
    return sum(storage.nbytes() for storage in kept.values()) / 2**20, flops.get_total_flops() / 2e9
