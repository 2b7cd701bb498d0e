"""The trained networks as evaluation and export see them: from what a loader gives to one vector a clip."""

from typing import Literal

import torch
from torch import Tensor, nn

Layer = Literal["map", "pooled"]


class VideoEncoder(nn.Module):
    """Trunk and pooling head with the normalisation of the pictures built in."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, pool: nn.Module, mean: tuple[float, float, float], std: tuple[float, float, float]
    ) -> None:
        super().__init__()
        self.backbone, self.pool = backbone, pool
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1, 1), persistent=False)

    def forward(self, video: Tensor, layer: Layer = "pooled") -> Tensor:
        """Maps frames to vectors.

        Args:
            video: uint8 (B, 3, T, H, W), or floats that are normalised already.
            layer: ``pooled``, or ``map`` for the feature map.

        Returns:
            (B, D), or the map (B, C, T', H', W').
        """
        if video.dtype == torch.uint8:
            video = (video.float() / 255 - self.mean) / self.std
        feature_map = self.backbone(video)
        return feature_map if layer == "map" else self.pool(feature_map)


class AudioEncoder(nn.Module):
    """Spectrogram and audio tower."""

    def __init__(self, log_mel: nn.Module, tower: nn.Module) -> None:
        super().__init__()
        self.log_mel, self.tower = log_mel, tower

    def forward(self, waveform: Tensor) -> Tensor:
        """Maps float32 (B, S) in [-1, 1] to (B, D)."""
        return self.tower(self.log_mel(waveform))
