"""Features of a list of videos, for several encoders in one pass over the files."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Sampler

from stica_pv.data.dataset import ClipDataset
from stica_pv.data.loader import ClipLoader
from stica_pv.distributed import rank, world_size
from stica_pv.errors import UsageError
from stica_pv.structures import Batch, SampleKey

Prepare = Callable[[Tensor, Tensor], Tensor]
"""(frames uint8 (B, 3, T, H, W), sample indices (B,)) -> what the encoder takes."""


@dataclass(frozen=True)
class FeatureSet:
    """Features of a list of videos.

    Attributes:
        features: float32 (V, D), one row a video: the mean over its clips of their unit vectors.
        labels: int64 (V,).
    """

    features: Tensor
    labels: Tensor


class EverySample(Sampler[list[SampleKey]]):
    """Batches that hold every video of the list exactly once, dealt out to the processes."""

    def __init__(self, length: int, batch_size: int) -> None:
        if batch_size < 1:
            raise UsageError(f"TEST.BATCH_SIZE must be >= 1, got {batch_size}")
        own = range(rank(), length, world_size())
        self._batches = [own[i : i + batch_size] for i in range(0, len(own), batch_size)]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for batch in self._batches:
            yield [SampleKey(0, index) for index in batch]


def as_is(video: Tensor, indices: Tensor) -> Tensor:
    """Hands uint8 frames to the encoder, which normalises them."""
    return video


@torch.no_grad()
def extract(
    encoders: Mapping[str, nn.Module],
    dataset: ClipDataset,
    *,
    device: torch.device,
    batch_size: int,
    num_workers: int,
    prepare: Prepare = as_is,
    start_method: str = "fork",
) -> dict[str, FeatureSet]:
    """Runs every encoder over every video; the same rows on every process.

    Args:
        encoders: Modules from clips to (B, D), by name; run in evaluation mode.
        dataset: Labelled videos with the views to average over.
        device: Where the encoders are.
        batch_size: Videos at a time.
        num_workers: Processes that read.
        prepare: Applied to the frames of each view.
        start_method: Of the processes that read.
    """
    if dataset.labels is None:
        raise ValueError("features are compared by class: the list needs labels")
    for encoder in encoders.values():
        encoder.eval()
    rows: dict[str, dict[int, Tensor]] = {name: {} for name in encoders}
    order = EverySample(len(dataset), batch_size)
    loader = ClipLoader(dataset, order, num_workers=num_workers, start_method=start_method)
    for batch in loader:
        for name, features in _encode(encoders, batch.to(device), prepare).items():
            rows[name].update(zip(batch.index.tolist(), features.cpu(), strict=True))
    labels = torch.tensor(dataset.labels)
    return {name: FeatureSet(_in_order(_from_all(found), len(dataset)), labels) for name, found in rows.items()}


def _encode(encoders: Mapping[str, nn.Module], batch: Batch, prepare: Prepare) -> dict[str, Tensor]:
    sums: dict[str, Tensor] = {}
    for video in batch.video.values():
        prepared = prepare(video, batch.index)
        for name, encoder in encoders.items():
            unit = F.normalize(encoder(prepared).float(), dim=-1)
            sums[name] = sums[name] + unit if name in sums else unit
    return {name: total / len(batch.video) for name, total in sums.items()}


def _from_all(rows: dict[int, Tensor]) -> dict[int, Tensor]:
    if world_size() == 1:
        return rows
    parts: list[dict[int, Tensor]] = [{} for _ in range(world_size())]
    dist.all_gather_object(parts, rows)
    return {index: row for part in parts for index, row in part.items()}


def _in_order(rows: dict[int, Tensor], length: int) -> Tensor:
    return torch.stack([rows[index] for index in range(length)])


@torch.no_grad()
def reestimate_batch_norm(
    encoder: nn.Module,
    dataset: ClipDataset,
    *,
    device: torch.device,
    batch_size: int,
    num_workers: int,
    videos: int,
    prepare: Prepare = as_is,
    start_method: str = "fork",
) -> None:
    """Replaces the running statistics of every batch-norm by plain means over batches of the first view.

    Args:
        encoder: Changed in place; left in evaluation mode.
        dataset: Where the clips come from.
        device: Where the encoder is.
        batch_size: Videos at a time.
        num_workers: Processes that read.
        videos: How many at most; they are spread over the list, which is often sorted by class.
        prepare: Applied to the frames.
        start_method: Of the processes that read.
    """
    norms = [module for module in encoder.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean
    encoder.train()
    count = min(videos, len(dataset))
    keys = [SampleKey(0, i * len(dataset) // count) for i in range(count)]
    batches: Any = [keys[start : start + batch_size] for start in range(0, count, batch_size)]  # any iterable will do
    for batch in ClipLoader(dataset, batches, num_workers=num_workers, start_method=start_method):
        batch = batch.to(device)
        encoder(prepare(next(iter(batch.video.values())), batch.index))
    encoder.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
