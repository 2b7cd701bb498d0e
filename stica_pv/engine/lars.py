"""LARS (You et al., arXiv 1708.03888): steps in proportion to the length of each weight. torch has none."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

MASKS = ("intended", "released")


class LARS(Optimizer):
    """LARS with momentum, in the order of BraVe's release (arXiv 2103.16559).

    For a parameter p with gradient g: g ← s g; scaled groups: g ← g + λ p, g ← η |p| / |g| · g (as it is where one of
    the two is 0); u ← -lr g; buffer v ← μ v + u; p ← p + v, with Nesterov p ← p + u + μ v. The learning rate enters the
    buffer, unlike in `torch.optim.SGD`.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        lr: float = 0.0,
        momentum: float = 0.9,
        nesterov: bool = False,
        trust: float = 0.001,
    ) -> None:
        """Stores the parameters.

        Args:
            groups: ``params``, and of each group ``scaled`` (decay and trust ratio, or plain steps),
                ``weight_decay`` λ, and ``grad_scale`` s.
            lr: Learning rate.
            momentum: μ.
            nesterov: Whether to use Nesterov momentum.
            trust: η.

        Raises:
            ValueError: A number out of range.
        """
        if not 0 <= momentum < 1 or trust <= 0 or (nesterov and not momentum):
            raise ValueError(
                f"LARS needs momentum from 0 to less than 1, above 0 with Nesterov, and a trust coefficient above 0, "
                f"got {momentum}, {trust}"
            )
        defaults = {"lr": lr, "momentum": momentum, "nesterov": nesterov, "trust": trust}
        super().__init__(groups, defaults | {"scaled": True, "weight_decay": 0.0, "grad_scale": 1.0})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Updates the parameters that have a gradient."""
        value = None
        if closure is not None:
            with torch.enable_grad():
                value = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._change(parameter, group)
        return value

    def _change(self, parameter: Tensor, group: dict[str, Any]) -> None:
        grad = parameter.grad * group["grad_scale"]
        if group["scaled"]:
            grad = grad.add_(parameter, alpha=group["weight_decay"])
            length, slope = torch.linalg.vector_norm(parameter), torch.linalg.vector_norm(grad)
            ratio = torch.where((length > 0) & (slope > 0), group["trust"] * length / slope, torch.ones_like(length))
            grad = grad.mul_(ratio)  # without synchronizing with the host
        update, momentum = grad.mul_(-group["lr"]), group["momentum"]
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        buffer = state["momentum_buffer"].mul_(momentum).add_(update)
        parameter.add_(update.add_(buffer, alpha=momentum) if group["nesterov"] else buffer)
