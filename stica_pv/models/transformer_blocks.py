"""Parts of plain vision transformers: pre-norm blocks with torch's fused attention, and fixed sine positions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

INIT_STD = 0.02
BASE = 10_000.0  # longest wavelength of the positions, divided by 2π


class Attention(nn.Module):
    """Self-attention of all tokens."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, N, D) to (B, N, D)."""
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (…, D) to (…, D)."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Pre-norm block (Dosovitskiy et al., ICLR 2021): x = x + MHA(LN(x)); x = x + MLP(LN(x)). Names as in timm."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps=1e-6), Attention(dim, heads)
        self.norm2, self.mlp = nn.LayerNorm(dim, eps=1e-6), Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, N, D) to (B, N, D)."""
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def initialize(module: nn.Module) -> None:
    """Initializes linear layers by a truncated normal, biases by 0, and patch embeddings as linear layers (MAE)."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=INIT_STD)
        elif isinstance(part, nn.Conv2d | nn.Conv3d):
            nn.init.xavier_uniform_(part.weight.data.flatten(1))
        if isinstance(part, nn.Linear | nn.Conv2d | nn.Conv3d) and part.bias is not None:
            nn.init.zeros_(part.bias)


def sine_positions(cells: Sequence[int], dim: int, device: torch.device) -> Tensor:
    """Returns fixed positions of the cells of a grid (Vaswani et al., 2017), equal parts of the channels for each axis.

    With w channels per axis: sin(p · 10000^(-2i/w)), then cos of the same, i < w/2; channels left over are 0. No
    number depends on the size of the grid, so any clip size has the same positions.

    Args:
        cells: Lengths of the axes, such as (T, H, W).
        dim: Channels.
        device: Where to compute them.

    Returns:
        float32 (*cells, dim).
    """
    half = dim // (2 * len(cells))
    frequencies = BASE ** -(torch.arange(half, dtype=torch.float32, device=device) / half)
    parts = []
    for axis, length in enumerate(cells):
        angles = torch.arange(length, dtype=torch.float32, device=device)[:, None] * frequencies
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        shape = [length if other == axis else 1 for other in range(len(cells))]
        parts.append(waves.view(*shape, 2 * half).expand(*cells, 2 * half))
    return F.pad(torch.cat(parts, dim=-1), (0, dim - 2 * half * len(cells)))
