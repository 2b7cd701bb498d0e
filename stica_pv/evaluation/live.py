"""Extract features during a training, on all processes, without changing networks or random state."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.distributed import world_size
from stica_pv.evaluation.features.extraction import Extracted, FeatureSpec, Prepare, extract

RESULT = "result"


@dataclass(frozen=True)
class Pace:
    """Settings of an extraction during training.

    Attributes:
        device: Device of the network.
        clips_at_once: Clips per forward pass of each process.
        num_workers: Loader processes of each process.
        start_method: Start method of the loader processes.
    """

    device: torch.device
    clips_at_once: int
    num_workers: int
    start_method: str


def extract_live(
    network: nn.Module,
    dataset: ClipDataset,
    items: Sequence[int],
    pace: Pace,
    *,
    average: bool,
    prepare: Prepare | None = None,
) -> Extracted | None:
    """Run a network in training, in its present state, over some videos.

    Args:
        network: Maps clips to (B, D); a copy is run in evaluation mode.
        dataset: Videos and their views.
        items: Indices of the videos.
        pace: Settings of the extraction.
        average: Whether to average unit rows over views; otherwise every view is kept.
        prepare: Function applied to the frames of each view.

    Returns:
        The features under `RESULT` on the main process, None on the others.
    """
    spec = FeatureSpec(still_copy(network, pace.device), "pooled", average)
    with torch.random.fork_rng(devices=[pace.device] if pace.device.type == "cuda" else []):
        return extract(
            {RESULT: spec},
            dataset,
            items,
            device=pace.device,
            clips_at_once=pace.clips_at_once,
            num_workers=pace.num_workers,
            start_method=pace.start_method,
            prepare=prepare,
        )


def still_copy(module: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy in evaluation mode, equal on all processes: with the buffers of the main process.

    The whole copy is moved to `device`, since wrappers such as `VideoEncoder` are created on the CPU.
    """
    still = copy.deepcopy(module).to(device).eval().requires_grad_(False)
    if world_size() > 1:
        for buffer in still.buffers():
            dist.broadcast(buffer, src=0)
    return still
