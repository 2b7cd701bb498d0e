"""Pooling heads: feature map to vector, by the mean or by a small transformer over time (STiCA, section 3.4).

Both take a map, or one per pathway (so they can be the last block of a pytorchvideo `Net`), or the tokens of
`FeatureCrop`.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from stica_pv.errors import UsageError, check_choice
from stica_pv.models.feature_map import Maps, as_list, time_tokens
from stica_pv.registry import POOLINGS

ReadOut = Literal["first", "cls", "mean"]
READ_OUTS = ("first", "cls", "mean")
POSITIONS = 64  # length of the learned embedding, as released
INIT_STD = 0.02


class Pooling(nn.Module):
    """Interface of a pooling head.

    Attributes:
        out_dim: Length of the pooled vector.
    """

    out_dim: int

    def num_tokens(self, steps: int) -> int:
        """Returns the number K of tokens to which a map of `steps` time steps, and each of its windows, is averaged."""
        raise TypeError(f"{type(self).__name__} must define num_tokens")

    def pool_tokens(self, tokens: Tensor) -> Tensor:
        """Maps (…, K, C) to (…, out_dim)."""
        raise TypeError(f"{type(self).__name__} must define pool_tokens")

    def time_attention(self, maps: Maps) -> Tensor | None:
        """Returns the attention weight of each time step; None for a head without attention."""
        return None


class AveragePool(Pooling):
    """Global average over time and space."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.out_dim = in_channels

    def num_tokens(self, steps: int) -> int:
        """Returns 1 for any number of steps: exact averages need no split of time."""
        return 1

    def pool_tokens(self, tokens: Tensor) -> Tensor:
        """Maps (…, K, C) to (…, C)."""
        return tokens.mean(dim=-2)

    def forward(self, maps: Maps) -> Tensor:
        """Maps (B, C, T, H, W), or one map per pathway, to (B, C), with C the channels of all pathways."""
        return torch.cat([one.mean(dim=(2, 3, 4)) for one in as_list(maps)], dim=1)


class TransformerLayer(nn.Module):
    """Post-norm encoder layer: x = LN(x + MHA(x)); x = LN(x + FFN(x)).

    By default the value and output projections of the attention are identities, as released.
    """

    def __init__(self, dim: int, heads: int, value_projection: bool) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim) if value_projection else nn.Identity()
        self.output = nn.Linear(dim, dim) if value_projection else nn.Identity()
        self.norm1 = nn.LayerNorm(dim, eps=1e-12)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.norm2 = nn.LayerNorm(dim, eps=1e-12)

    def forward(self, x: Tensor, wanted: int | None = None) -> Tensor:
        """Maps (M, K, D) to (M, K, D), or only to its first `wanted` tokens."""
        own = x[:, :wanted]
        query, key, value = (self._by_head(part) for part in (self.query(own), self.key(x), self.value(x)))
        attended = F.scaled_dot_product_attention(query, key, value)
        own = self.norm1(own + self.output(attended.transpose(1, 2).flatten(-2)))
        return self.norm2(own + self.feed_forward(own))

    def attention(self, x: Tensor) -> Tensor:
        """Returns the attention weights of `forward`: (M, K, D) to (M, heads, K, K), rows sum to one."""
        query, key = self._by_head(self.query(x)), self._by_head(self.key(x))
        return (query @ key.mT / math.sqrt(query.shape[-1])).softmax(dim=-1)

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TransformerPool(Pooling):
    """Transformer over time steps, read out at one token."""

    def __init__(
        self,
        in_channels: int,
        *,
        dim: int = 0,
        layers: int = 2,
        heads: int = 4,
        max_tokens: int = 16,
        read_out: ReadOut = "first",
        positions: bool = False,
        position_std: float = INIT_STD,
        value_projection: bool = False,
    ) -> None:
        """Builds the head.

        Args:
            in_channels: Channels C of the map.
            dim: Width D of the transformer; 0 means min(C, 512). A linear layer is prepended if C differs.
            layers: Number of encoder layers.
            heads: Number of attention heads; divides D.
            max_tokens: Longer sequences are averaged to this many tokens.
            read_out: Output token: the ``first`` (released), an added ``cls`` token, or the ``mean``.
            positions: Whether learned embeddings of the token's index in its window are added.
            position_std: Standard deviation of their initial values; 1 as released.
            value_projection: Whether the attention has value and output projections.
        """
        super().__init__()
        check_choice("read_out", read_out, READ_OUTS)
        self.out_dim = dim or min(in_channels, 512)
        if self.out_dim % heads or layers < 1 or not 1 <= max_tokens <= POSITIONS:
            raise UsageError(
                f"transformer pooling needs heads that divide its width, >= 1 layer and 1-{POSITIONS} tokens, "
                f"got width {self.out_dim}, {heads} heads, {layers} layers, {max_tokens} tokens"
            )
        self.max_tokens = max_tokens
        self.read_out = read_out
        self.reduce = nn.Linear(in_channels, self.out_dim) if in_channels != self.out_dim else nn.Identity()
        self.layers = nn.Sequential(*(TransformerLayer(self.out_dim, heads, value_projection) for _ in range(layers)))
        self.position = nn.Parameter(torch.empty(POSITIONS, self.out_dim)) if positions else None
        self.cls = nn.Parameter(torch.empty(1, self.out_dim)) if read_out == "cls" else None
        for name, parameter in self.named_parameters():
            if "norm" not in name:
                std = position_std if name == "position" else INIT_STD
                nn.init.zeros_(parameter) if name.endswith("bias") else nn.init.normal_(parameter, std=std)

    def num_tokens(self, steps: int) -> int:
        """Returns one token per step, up to the maximum."""
        return min(steps, self.max_tokens)

    def pool_tokens(self, tokens: Tensor) -> Tensor:
        """Maps (…, K, C) to (…, out_dim)."""
        *leading, k, channels = tokens.shape
        x = self._first_tokens(tokens.reshape(-1, k, channels))
        *before, last = self.layers
        for layer in before:
            x = layer(x)
        # Only the read-out of the last layer is used, so its other tokens need no query and no feed-forward.
        x = last(x).mean(dim=1) if self.read_out == "mean" else last(x, wanted=1)[:, 0]
        return x.reshape(*leading, self.out_dim)

    def _first_tokens(self, tokens: Tensor) -> Tensor:
        """Maps (M, K, C) to the input of the first layer, (M, K or K + 1, D)."""
        x = self.reduce(tokens)
        if self.position is not None:
            x = x + self.position[: tokens.shape[1]]
        if self.cls is not None:
            x = torch.cat([self.cls.expand(x.shape[0], 1, -1).to(x.dtype), x], dim=1)
        return x

    def time_attention(self, maps: Maps) -> Tensor:
        """Returns the attention of the read-out to each time token, in each layer, averaged over heads.

        The read-out is the first token, the added one, or the mean over all tokens.

        Args:
            maps: Feature map (B, C, T, H, W), or one map per pathway.

        Returns:
            (B, layers, K). A row sums to one; with an added token, to one minus its weight.
        """
        x = self._first_tokens(time_tokens(maps, self.num_tokens(as_list(maps)[0].shape[2])))
        rows = []
        for layer in self.layers:
            assert isinstance(layer, TransformerLayer)  # a Sequential is not typed by its layers
            weights = layer.attention(x).mean(dim=1)
            row = weights.mean(dim=1) if self.read_out == "mean" else weights[:, 0]
            rows.append(row if self.cls is None else row[:, 1:])
            x = layer(x)
        return torch.stack(rows, dim=1)

    def forward(self, maps: Maps) -> Tensor:
        """Maps (B, C, T, H, W), or one map per pathway, to (B, out_dim)."""
        return self.pool_tokens(time_tokens(maps, self.num_tokens(as_list(maps)[0].shape[2])))


# The builders of the registry, called as in pytorchvideo.
create_average_pool = POOLINGS.named("average")(AveragePool)
create_transformer_pool = POOLINGS.named("transformer")(TransformerPool)
