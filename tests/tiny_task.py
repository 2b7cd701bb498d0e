"""A very small STiCA, float64 if asked, whose feature map has the paper's 7 x 7 cells, and batches for it."""

from typing import Any

import torch
from torch import nn

from stica_pv.models import AveragePool, Pooling, TransformerPool, create_audio_resnet9, create_projection_head
from stica_pv.structures import Batch
from stica_pv.tasks import AVContrastive, ClipSettings, CropSettings
from stica_pv.tasks.base import Inputs
from stica_pv.tasks.stica.av_params import AVParams
from stica_pv.transforms import ColorSettings, RandomResizedCrop, create_log_mel

FRAMES, FPS, SIZE, AUDIO_RATE_HZ = 8, 16.0, 28, 8000
CHANNELS, STEPS, CELLS = 8, 4, 7
EMBEDDING = 5


class DoubleAVContrastive(AVContrastive):
    """STiCA in float64 from the network inputs on."""

    def prepare(self, batch: Batch, params: AVParams) -> Inputs:
        return {name: value.double() for name, value in super().prepare(batch, params).items()}


def create_trunk() -> nn.Sequential:
    """8 frames of 28 x 28 to (8, 4, 7, 7)."""
    conv = nn.Conv3d(3, CHANNELS, (2, 4, 4), stride=(2, 4, 4), bias=False)
    return nn.Sequential(conv, nn.BatchNorm3d(CHANNELS), nn.ReLU())


def tiny_task(
    *, double: bool = False, seed: int = 0, dropout: float = 0.0, pool: Pooling | None = None, **changes: Any
) -> AVContrastive:
    """Builds the task in training mode; `changes` are arguments of `AVContrastive`."""
    torch.manual_seed(seed)
    pool = pool or TransformerPool(CHANNELS, heads=2)
    parts: dict[str, Any] = {
        "clip": ClipSettings(FRAMES, FPS, SIZE, AUDIO_RATE_HZ, RandomResizedCrop()),
        "color": ColorSettings(),
        "volume_jitter": 0.1,
        "backbone": create_trunk(),
        "pool": pool,
        "video_head": create_projection_head(in_dim=pool.out_dim, hidden_dim=6, out_dim=EMBEDDING, dropout=dropout),
        "log_mel": create_log_mel(sample_rate_hz=AUDIO_RATE_HZ, bands=16, fft_size=512),
        "audio_tower": create_audio_resnet9(width=2),
        "audio_head": create_projection_head(in_dim=16, hidden_dim=6, out_dim=EMBEDDING, dropout=dropout),
        "crops": CropSettings(2, 4, 2, 1),
    }
    task = (DoubleAVContrastive if double else AVContrastive)(**(parts | changes))
    return task.double() if double else task


def crossmodal_task(**changes: Any) -> AVContrastive:
    """The baseline: average pooling, no crops, a = 1."""
    settings: dict[str, Any] = {"crops": CropSettings(0, 0), "cross_modal_weight": 1.0} | changes
    return tiny_task(pool=AveragePool(CHANNELS), **settings)


def tiny_batch(indices: tuple[int, ...], audio_valid: tuple[float, ...] | None = None) -> Batch:
    """Noise clips, each a function of its index alone."""
    rngs = [torch.Generator().manual_seed(index) for index in indices]
    samples = round(FRAMES / FPS * AUDIO_RATE_HZ)
    shape = (3, FRAMES, SIZE, SIZE)

    def frames() -> torch.Tensor:
        return torch.stack([torch.randint(0, 256, shape, generator=rng, dtype=torch.uint8) for rng in rngs])

    video = {"view1": frames(), "view2": frames()}
    audio = torch.stack([torch.rand(samples, generator=rng) * 2 - 1 for rng in rngs])
    valid = torch.tensor(audio_valid or (1.0,) * len(indices))
    return Batch(video, {"view1": audio}, {"view1": valid}, torch.tensor(indices))
