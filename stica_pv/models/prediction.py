"""Projector and predictor of BraVe (arXiv 2103.16559): z = g(features), and h(z) to predict another view's z."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stica_pv.models.projection import GroupBatchNorm
from stica_pv.models.resnet_v2 import truncated_normal


class Projector(nn.Module):
    """Linear, batch-norm, ReLU, linear, batch-norm; views of different lengths have separate first layers."""

    def __init__(
        self, in_dims: Sequence[int], *, hidden_dim: int = 4096, out_dim: int = 128, synchronize: bool = True
    ) -> None:
        """Builds the layers.

        Args:
            in_dims: Lengths of the input features; equal ones share all layers.
            hidden_dim: Width of the hidden layer.
            out_dim: Length of z.
            synchronize: Whether batch-norm statistics span all processes.
        """
        super().__init__()
        self.first = nn.ModuleDict({str(dim): nn.Linear(dim, hidden_dim) for dim in dict.fromkeys(in_dims)})
        self.rest = nn.Sequential(
            GroupBatchNorm(hidden_dim, synchronize=synchronize),
            nn.ReLU(),
            nn.Linear(hidden_dim, out_dim),
            GroupBatchNorm(out_dim, synchronize=synchronize),
        )
        _initialize(self)

    def forward(self, features: Sequence[Tensor] | Tensor) -> Tensor:
        """Maps N views (B, C), of one length or several, each normalized by its own batch, to z (N, B, out_dim)."""
        return self.rest(torch.stack([self.first[str(one.shape[-1])](one) for one in features]))


class Predictor(nn.Sequential):
    """Linear, batch-norm, ReLU, then linear without batch-norm."""

    def __init__(self, dim: int = 128, *, hidden_dim: int = 4096, synchronize: bool = True) -> None:
        super().__init__(
            nn.Linear(dim, hidden_dim),
            GroupBatchNorm(hidden_dim, synchronize=synchronize),
            nn.ReLU(),
            nn.Linear(hidden_dim, dim),
        )
        _initialize(self)


def _initialize(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            truncated_normal(layer.weight)
            nn.init.zeros_(layer.bias)
