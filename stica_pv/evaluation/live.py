"""Looks at networks in the middle of a training, on all processes, without a change to them or to any random state."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.distributed import world_size
from stica_pv.evaluation.features.extraction import Extracted, Job, Prepare, extract

RESULT = "result"


@dataclass(frozen=True)
class Pace:
    """How videos are read and shown.

    Attributes:
        device: Where the network is.
        clips_at_once: In a forward pass of each process.
        num_workers: Processes that read, for each process.
        start_method: Of these.
    """

    device: torch.device
    clips_at_once: int
    num_workers: int
    start_method: str


def clip_format(
    network: nn.Module,
    dataset: ClipDataset,
    items: Sequence[int],
    pace: Pace,
    *,
    average: bool,
    prepare: Prepare | None = None,
) -> Extracted | None:
    """Runs a network that is being trained, as it is now, over some videos.

    Args:
        network: From clips to (B, D); a copy of it is run, in evaluation mode.
        dataset: The videos and their views.
        items: Which of them.
        pace: How.
        average: Mean over views of unit rows, or every view as it is.
        prepare: Applied to the frames of each view.

    Returns:
        On the main process what was found, under `RESULT`; None on the others.
    """
    job = Job(still_copy(network, pace.device), "pooled", average)
    with torch.random.fork_rng(devices=[pace.device] if pace.device.type == "cuda" else []):
        return extract(
            {RESULT: job},
            dataset,
            items,
            device=pace.device,
            clips_at_once=pace.clips_at_once,
            num_workers=pace.num_workers,
            start_method=pace.start_method,
            prepare=prepare,
        )


def still_copy(module: nn.Module, device: torch.device) -> nn.Module:
    """A copy in evaluation mode, the same on all processes: that of the main one, whose statistics are saved.

    All of it lies on `device`: what a network is wrapped in for the look, as `VideoEncoder` does, is made on the CPU.
    """
    still = copy.deepcopy(module).to(device).eval().requires_grad_(False)
    if world_size() > 1:
        for buffer in still.buffers():
            dist.broadcast(buffer, src=0)
    return still
