"""Re-estimation of batch-norm statistics for random initialization, whose running statistics are meaningless."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.evaluation.features.loading import Loading
from stica_pv.models.projection import GroupBatchNorm
from stica_pv.structures import SampleKey
from stica_pv.tasks.encoders import layers_of, run_layers

BATCH_SIZE = 16  # fixed, since the statistics depend on it


@torch.no_grad()
def reestimate_batch_norm(
    encoder: nn.Module,
    dataset: ClipDataset,
    items: Sequence[int],
    loading: Loading,
) -> None:
    """Replace the running statistics of every batch-norm by plain means over batches of the first view.

    Args:
        encoder: Encoder, changed in place and left in evaluation mode.
        dataset: Data set of the clips.
        items: Indices of the items; unreadable ones are skipped.
        loading: Settings of the pass; its number of clips is not used.
    """
    norms: list[Any] = [module for module in encoder.modules() if isinstance(module, (_BatchNorm, GroupBatchNorm))]
    momenta = [norm.momentum for norm in norms]
    encoder.eval()  # dropout stays off
    for norm in norms:
        norm.train()
    keys = [SampleKey(0, int(index)) for index in items]
    batches: Any = [
        keys[start : start + BATCH_SIZE] for start in range(0, len(keys), BATCH_SIZE)
    ]  # any iterable is accepted
    loader = ClipLoader(
        dataset, batches, num_workers=loading.num_workers, start_method=loading.start_method, keep_failures=True
    )
    last = layers_of(encoder)[-1:]  # the last layer runs all norms
    used = 0
    for batch in loader:
        if len(batch) > 1:  # batch-norm needs more than one row
            used += 1
            for norm in norms:
                norm.momentum = 1 / used  # makes the running mean a plain mean
            clips = next(iter((batch.video or batch.audio).values()))
            run_layers(encoder, clips.to(loading.device), last)
    encoder.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def spread_over(items: Sequence[int], count: int) -> list[int]:
    """Return at most `count` of the items, equally spaced over the list, which is often sorted by class."""
    count = min(count, len(items))
    return [int(items[i * len(items) // count]) for i in range(count)]
