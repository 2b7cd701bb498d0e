"""Volume jitter: one factor on the waveform of each clip."""

from collections.abc import Sequence

import torch
from torch import Tensor

from stica_pv.keyed_random import uniform


def sample_volume(rngs: Sequence[torch.Generator], spread: float = 0.1) -> Tensor:
    """Samples (B,) factors on waveforms from U(1 - spread, 1 + spread), row b from `rngs[b]`."""
    return torch.tensor([uniform(1 - spread, 1 + spread, rng) for rng in rngs], dtype=torch.float32)
