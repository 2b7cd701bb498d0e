"""The trained networks as evaluation and export see them: from what a loader gives to one vector a clip."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stica_pv.models import Pooling, join_pathways

MAP, POOLED, PROJECTED = "map", "pooled", "projected"


class Encoder(nn.Module, ABC):
    """A network whose layers can be asked for by name.

    Attributes:
        offers: Names of the layers: ``map``, ``pooled`` (the vector before the projection head), ``projected``.
    """

    offers: tuple[str, ...] = (POOLED,)

    @abstractmethod
    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Returns the named layers of one pass: maps (B, C, …), vectors (B, D)."""

    def forward(self, x: Tensor, layer: str = POOLED) -> Tensor:
        """Returns one layer."""
        return self.layers(x, (layer,))[layer]


def layers_of(encoder: nn.Module) -> tuple[str, ...]:
    """Names of the layers that a network offers; any module from clips to (B, D) offers ``pooled``."""
    return encoder.offers if isinstance(encoder, Encoder) else (POOLED,)


def run_layers(encoder: nn.Module, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Returns the named layers, which the network must offer, in one pass."""
    return encoder.layers(x, names) if isinstance(encoder, Encoder) else {POOLED: encoder(x)}


class VideoEncoder(Encoder):
    """Trunk, pooling head and projection head, with the normalization of the frames built in."""

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        pool: nn.Module,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        head: nn.Module | None = None,
    ) -> None:
        """Takes the networks.

        Args:
            backbone: From frames to the map (B, C, T', H', W').
            pool: From the map to (B, D).
            mean: Of the frames in [0, 1], by channel.
            std: By channel.
            head: Projection of groups (N, B, D); None offers no projected layer.
        """
        super().__init__()
        self.backbone, self.pool, self.head = backbone, pool, head
        self.offers = (MAP, POOLED) if head is None else (MAP, POOLED, PROJECTED)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1, 1), persistent=False)

    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Maps frames to layers.

        Args:
            x: uint8 (B, 3, T, H, W), or floats that are normalized already.
            names: Of the layers.

        Returns:
            The map (B, C, T', H', W') of all pathways, the pooled vector (B, D), the embedding (B, E), as named.
        """
        feature_map = self.backbone(self._normalized(x))
        found = {MAP: join_pathways(feature_map)} if MAP in names else {}
        if set(names) - {MAP}:
            found |= _vectors(self.pool(feature_map), self.head, names)
        return found

    def time_attention(self, x: Tensor) -> Tensor | None:
        """How much of each stretch of time the vector is read from, (B, layers, K); None: the pooling does not weigh.

        Args:
            x: As `layers` takes it.
        """
        if not isinstance(self.pool, Pooling):
            return None
        return self.pool.time_attention(self.backbone(self._normalized(x)))

    def _normalized(self, x: Tensor) -> Tensor:
        if x.dtype != torch.uint8:
            return x
        # Batches come channels last; what trunks compute in is for MODEL.CHANNELS_LAST to say.
        return (x.to(torch.float32, memory_format=torch.contiguous_format) / 255 - self.mean) / self.std


class AudioEncoder(Encoder):
    """Spectrogram, audio tower and projection head."""

    def __init__(self, log_mel: nn.Module, tower: nn.Module, head: nn.Module | None = None) -> None:
        """Takes the networks.

        Args:
            log_mel: From audio (B, S) to (B, 1, F, T).
            tower: From there to (B, D); offers its map if it has a method of that name.
            head: Projection of groups (N, B, D); None offers no projected layer.
        """
        super().__init__()
        self.log_mel, self.tower, self.head = log_mel, tower, head
        offered = {MAP: hasattr(tower, "map"), POOLED: True, PROJECTED: head is not None}
        self.offers = tuple(name for name, there in offered.items() if there)

    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Maps float32 audio (B, S) in [-1, 1] to the map (B, C, F', T'), the vector (B, D), the embedding (B, E)."""
        spectrogram = self.log_mel(x)
        found: dict[str, Tensor] = {}
        if MAP in names:
            found[MAP] = self.tower.map(spectrogram)  # type: ignore[operator]  # a method, as `offers` has seen
        if set(names) - {MAP}:
            found |= _vectors(self.tower(spectrogram), self.head, names)
        return found


def _vectors(pooled: Tensor, head: nn.Module | None, names: Sequence[str]) -> dict[str, Tensor]:
    """The pooled and the projected vector, as far as they are named."""
    found = {POOLED: pooled} if POOLED in names else {}
    if PROJECTED in names:
        if head is None:
            raise ValueError("this encoder was built without a projection head: it offers no projected layer")
        found[PROJECTED] = head(pooled.unsqueeze(0))[0]  # one group
    return found
