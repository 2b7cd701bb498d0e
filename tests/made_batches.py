"""Batches of noise that fit the views of any task."""

import torch

from stica_pv.structures import Batch, Views


def noise_batch(views: Views, indices: tuple[int, ...], *, video_seconds: float = 10.0) -> Batch:
    """Returns what a loader would give of videos of noise, each drawn from its index."""
    rngs = [torch.Generator().manual_seed(index) for index in indices]
    windows = views.sample_windows(video_seconds, torch.Generator().manual_seed(0))
    video, audio = {}, {}
    for spec in views.specs:
        if spec.frames:
            shape = (2 if spec.flow else 3, spec.frames, spec.size, spec.size)
            video[spec.name] = torch.stack([torch.randint(0, 256, shape, generator=g, dtype=torch.uint8) for g in rngs])
        if spec.audio is not None:
            samples = round(windows[spec.window].seconds * spec.audio.sample_rate_hz)
            audio[spec.name] = torch.stack([torch.rand(samples, generator=g) - 0.5 for g in rngs])
    return Batch(video, audio, {name: torch.ones(len(rngs)) for name in audio}, torch.tensor(indices))
