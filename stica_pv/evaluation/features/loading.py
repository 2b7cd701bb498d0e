"""Settings of a pass over files."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Loading:
    """Settings of a pass over files.

    Attributes:
        device: Device of the encoders.
        clips_at_once: Clips per forward pass of each process.
        num_workers: Loader processes of each process.
        start_method: Start method of the loader processes.
    """

    device: torch.device
    clips_at_once: int
    num_workers: int
    start_method: str = "fork"
