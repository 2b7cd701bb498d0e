"""Projection heads, and batch-norm with separate statistics per crop group."""

import torch
from torch import Tensor, nn

from stica_pv.distributed import global_moments
from stica_pv.precision import full_precision


class GroupBatchNorm(nn.Module):
    """Batch-norm over rows with statistics per group; equal to one call of batch-norm per group, without the loop.

    STiCA calls one head once per crop, so each crop is normalized by its own batch. Statistics span all processes.
    The state dict has the layout of `nn.BatchNorm1d`.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, features: int, *, eps: float = 1e-5, momentum: float = 0.1, synchronize: bool = True) -> None:
        super().__init__()
        self.eps, self.momentum, self.synchronize = eps, momentum, synchronize
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))
        self.register_buffer("num_batches_tracked", torch.tensor(0, dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, B, C) to (N, B, C); N groups of B rows."""
        if not self.training:
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            return x * scale + (self.bias - self.running_mean * scale)
        with full_precision(x.device):
            wide = x.to(torch.promote_types(x.dtype, torch.float32))
            mean, variance, count = global_moments(wide, (1,), synchronize=self.synchronize)
            if count < 2:
                raise ValueError("batch-norm needs more than one row per group in training; increase the batch size")
            self._track(mean[:, 0], variance[:, 0] * (count / (count - 1)))
            return (wide - mean) * torch.rsqrt(variance + self.eps) * self.weight + self.bias

    @torch.no_grad()
    def _track(self, means: Tensor, variances: Tensor) -> None:
        # N updates r <- (1-m) r + m s_k in closed form.
        groups = means.shape[0]
        keep = 1 - self.momentum
        powers = torch.arange(groups - 1, -1, -1, device=means.device, dtype=means.dtype)
        shares = (self.momentum * keep**powers).unsqueeze(1)
        for running, values in ((self.running_mean, means), (self.running_var, variances)):
            running.mul_(keep**groups).add_((shares * values).sum(0))
        self.num_batches_tracked += groups


class ProjectionHead(nn.Module):
    """Dropout, linear without bias, batch-norm, ReLU, dropout, linear: the head of GDT and STiCA.

    The output is not normalized: the method scales it to unit length in fp32 before the loss, outside autocast.
    """

    def __init__(
        self,
        in_dim: int,
        *,
        hidden_dim: int = 512,
        out_dim: int = 256,
        dropout: float = 0.3,
        synchronize: bool = True,
    ) -> None:
        super().__init__()
        self.drop1 = nn.Dropout(dropout)
        self.linear1 = nn.Linear(in_dim, hidden_dim, bias=False)
        self.norm = GroupBatchNorm(hidden_dim, synchronize=synchronize)
        self.drop2 = nn.Dropout(dropout)
        self.linear2 = nn.Linear(hidden_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, B, in_dim), N groups normalized separately, to (N, B, out_dim)."""
        return self.linear2(self.drop2(torch.relu(self.norm(self.linear1(self.drop1(x))))))


class MLPHead(nn.Module):
    """Linear, batch-norm, ReLU several times, then linear: the head of SimCLR and of CVRL (arXiv 2008.03800)."""

    def __init__(
        self,
        in_dim: int,
        *,
        hidden_layers: int = 3,
        hidden_dim: int = 2048,
        out_dim: int = 128,
        momentum: float = 0.003,
        synchronize: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(hidden_layers):
            layers += [
                nn.Linear(in_dim, hidden_dim),
                GroupBatchNorm(hidden_dim, momentum=momentum, synchronize=synchronize),
                nn.ReLU(),
            ]
            in_dim = hidden_dim
        self.layers = nn.Sequential(*layers, nn.Linear(in_dim, out_dim))
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, B, in_dim), N groups normalized separately, to (N, B, out_dim)."""
        return self.layers(x)


def create_projection_head(
    *, in_dim: int, hidden_dim: int = 512, out_dim: int = 256, dropout: float = 0.3, synchronize: bool = True
) -> ProjectionHead | nn.Linear:
    """Builds the head of the papers.

    Args:
        in_dim: Length of the vectors.
        hidden_dim: Width between its two layers; 0 for a single linear layer, without dropout.
        out_dim: Length of the embedding.
        dropout: Dropout before each linear layer.
        synchronize: Whether batch-norm statistics span all processes.
    """
    if hidden_dim == 0:
        return nn.Linear(in_dim, out_dim)
    return ProjectionHead(in_dim, hidden_dim=hidden_dim, out_dim=out_dim, dropout=dropout, synchronize=synchronize)
