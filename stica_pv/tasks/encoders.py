"""The trained networks as evaluation and export use them: from loader tensors to one vector per clip."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stica_pv.models import Pooling, join_pathways

MAP, POOLED, PROJECTED = "map", "pooled", "projected"


class Encoder(nn.Module, ABC):
    """A network that returns its layers by name.

    Attributes:
        offers: Names of the layers: ``map``, ``pooled`` (the vector before the projection head), ``projected``.
    """

    offers: tuple[str, ...] = (POOLED,)

    @abstractmethod
    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Returns the named layers in one pass: maps (B, C, …), vectors (B, D)."""

    def forward(self, x: Tensor, layer: str = POOLED) -> Tensor:
        """Returns one layer."""
        return self.layers(x, (layer,))[layer]


def layers_of(encoder: nn.Module) -> tuple[str, ...]:
    """Returns the names of the layers of a network; any module from clips to (B, D) has ``pooled``."""
    return encoder.offers if isinstance(encoder, Encoder) else (POOLED,)


def run_layers(encoder: nn.Module, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Returns the named layers in one pass; the network must have them."""
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
            backbone: Maps frames to the feature map (B, C, T', H', W').
            pool: Maps the feature map to (B, D).
            mean: Mean of the frames in [0, 1], by channel.
            std: Standard deviation, by channel.
            head: Projection of groups (N, B, D); with None there is no projected layer.
        """
        super().__init__()
        self.backbone, self.pool, self.head = backbone, pool, head
        self.offers = (MAP, POOLED) if head is None else (MAP, POOLED, PROJECTED)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1, 1), persistent=False)

    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Maps frames to layers.

        Args:
            x: uint8 (B, 3, T, H, W), or floats that are already normalized.
            names: Names of the layers.

        Returns:
            The map (B, C, T', H', W') of all pathways, the pooled vector (B, D), the embedding (B, E), as named.
        """
        feature_map = self.backbone(self._normalized(x))
        found = {MAP: join_pathways(feature_map)} if MAP in names else {}
        if set(names) - {MAP}:
            found |= _vectors(self.pool(feature_map), self.head, names)
        return found

    def time_attention(self, x: Tensor) -> Tensor | None:
        """Returns the attention weight of each time step in the vector, (B, layers, K); None without attention.

        Args:
            x: Frames as for `layers`.
        """
        if not isinstance(self.pool, Pooling):
            return None
        return self.pool.time_attention(self.backbone(self._normalized(x)))

    def _normalized(self, x: Tensor) -> Tensor:
        if x.dtype != torch.uint8:
            return x
        # Batches arrive channels last; MODEL.CHANNELS_LAST sets the memory format of the trunk.
        return (x.to(torch.float32, memory_format=torch.contiguous_format) / 255 - self.mean) / self.std


class AudioEncoder(Encoder):
    """Spectrogram, audio tower and projection head."""

    def __init__(self, log_mel: nn.Module, tower: nn.Module, head: nn.Module | None = None) -> None:
        """Takes the networks.

        Args:
            log_mel: Maps audio (B, S) to (B, 1, F, T).
            tower: Maps the spectrogram to (B, D); its feature map is available if it has a method `map`.
            head: Projection of groups (N, B, D); with None there is no projected layer.
        """
        super().__init__()
        self.log_mel, self.tower, self.head = log_mel, tower, head
        offered = {MAP: hasattr(tower, "map"), POOLED: True, PROJECTED: head is not None}
        self.offers = tuple(name for name, is_offered in offered.items() if is_offered)

    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Maps float32 audio (B, S) in [-1, 1] to the map (B, C, F', T'), the vector (B, D), the embedding (B, E)."""
        spectrogram = self.log_mel(x)
        found: dict[str, Tensor] = {}
        if MAP in names:
            found[MAP] = self.tower.map(spectrogram)  # type: ignore[operator]  # a method, checked for `offers`
        if set(names) - {MAP}:
            found |= _vectors(self.tower(spectrogram), self.head, names)
        return found


def _vectors(pooled: Tensor, head: nn.Module | None, names: Sequence[str]) -> dict[str, Tensor]:
    """Returns the pooled and the projected vector, if named."""
    found = {POOLED: pooled} if POOLED in names else {}
    if PROJECTED in names:
        if head is None:
            raise ValueError("this encoder has no projection head, so it has no projected layer")
        found[PROJECTED] = head(pooled.unsqueeze(0))[0]  # one group
    return found
