"""STiCA's head for any network: pooling over time and projection, as the last block of a pytorchvideo `Net`."""

from torch import Tensor, nn

from stica_pv.models.feature_map import Maps
from stica_pv.models.pooling import Pooling, create_transformer_pool
from stica_pv.models.projection import ProjectionHead


class STiCAHead(nn.Module):
    """Pooling and projection, for whole maps and for the tokens of crops.

    Attributes:
        pool: Maps a map or tokens to a vector, which evaluations use.
        projection: Maps the vector to the embedding in which the loss compares.
    """

    def __init__(self, pool: Pooling, projection: ProjectionHead) -> None:
        super().__init__()
        self.pool, self.projection = pool, projection

    def forward(self, maps: Maps) -> Tensor:
        """Maps (B, C, T, H, W), or one map per pathway, to embeddings (B, out_dim), not normalized."""
        return self.projection(self.pool(maps).unsqueeze(0))[0]

    def embed_tokens(self, tokens: Tensor) -> Tensor:
        """Maps the tokens of N crops (N, B, K, C) to (N, B, out_dim); each crop has its own batch statistics."""
        return self.projection(self.pool.pool_tokens(tokens))


def create_stica_head(
    *,
    in_channels: int,
    out_dim: int = 256,
    hidden_dim: int = 512,
    dropout: float = 0.3,
    synchronize: bool = True,
    pool: Pooling | None = None,
) -> STiCAHead:
    """Builds the head of the paper.

    Args:
        in_channels: Channels of the map; of all pathways together.
        out_dim: Length of the embedding.
        hidden_dim: Width of the projection.
        dropout: Dropout of the projection.
        synchronize: Whether batch-norm statistics span all processes.
        pool: Pooling to use instead of the default transformer.
    """
    pool = pool or create_transformer_pool(in_channels=in_channels)
    projection = ProjectionHead(
        pool.out_dim, hidden_dim=hidden_dim, out_dim=out_dim, dropout=dropout, synchronize=synchronize
    )
    return STiCAHead(pool, projection)
