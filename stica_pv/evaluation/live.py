"""Extract features during a training, on all processes, without changing networks or random state."""

import copy
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import nn

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.distributed import world_size
from stica_pv.evaluation.features.extraction import Extracted, FeatureSpec, Prepare, extract
from stica_pv.evaluation.features.loading import Loading

RESULT = "result"


def extract_live(
    network: nn.Module,
    dataset: ClipDataset,
    items: Sequence[int],
    loading: Loading,
    *,
    average: bool,
    prepare: Prepare | None = None,
) -> Extracted | None:
    """Run a network in training, in its present state, over some videos.

    Args:
        network: Maps clips to (B, D); a copy is run in evaluation mode.
        dataset: Videos and their views.
        items: Indices of the videos.
        loading: Settings of the pass.
        average: Whether to average unit rows over views; otherwise every view is kept.
        prepare: Function applied to the frames of each view.

    Returns:
        The features under `RESULT` on the main process, None on the others.
    """
    spec = FeatureSpec(still_copy(network, loading.device), "pooled", average)
    with torch.random.fork_rng(devices=[loading.device] if loading.device.type == "cuda" else []):
        return extract({RESULT: spec}, dataset, items, loading=loading, prepare=prepare)


def still_copy(module: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy in evaluation mode, equal on all processes: with the buffers of the main process.

    The whole copy is moved to `device`, since wrappers such as `VideoEncoder` are created on the CPU.
    """
    still = copy.deepcopy(module).to(device).eval().requires_grad_(False)
    if world_size() > 1:
        for buffer in still.buffers():
            dist.broadcast(buffer, src=0)
    return still
