"""A very small STiCA on a video transformer that drops tokens, in float64, and batches for it."""

import dataclasses

import torch
from tiny_task import AUDIO_RATE_HZ, FPS, FRAMES, tiny_batch, tiny_task

from stica_pv.models import TransformerPool, VideoTransformer, create_projection_head
from stica_pv.structures import Batch
from stica_pv.tasks import AVContrastive, ClipSettings, CropSettings
from stica_pv.transforms import RandomResizedCrop

INDICES = (3, 1, 4, 5)
SIZE = 64


def vit_task() -> AVContrastive:
    """The task in training mode, batch-norm by its running statistics."""
    torch.manual_seed(0)
    pool = TransformerPool(16, heads=2)
    task = tiny_task(
        double=True,
        clip=ClipSettings(FRAMES, FPS, SIZE, AUDIO_RATE_HZ, RandomResizedCrop()),
        backbone=VideoTransformer(heads=2, depth=1, width=8),
        pool=pool,
        video_head=create_projection_head(in_dim=16, hidden_dim=6, out_dim=5, dropout=0.0),
        crops=CropSettings(2, 2),
        token_drop=0.5,
    )
    for part in task.modules():
        if hasattr(part, "num_batches_tracked"):
            part.eval()  # batch statistics would differ between a chunk and the batch
    return task


def batch_of(indices: tuple[int, ...]) -> Batch:
    """Noise clips, each batch a function of its indices."""
    torch.manual_seed(sum(indices))
    video = {
        name: torch.randint(0, 256, (len(indices), 3, FRAMES, SIZE, SIZE), dtype=torch.uint8)
        for name in ("view1", "view2")
    }
    return dataclasses.replace(tiny_batch(indices), video=video)
