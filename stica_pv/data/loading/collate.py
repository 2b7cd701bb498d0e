"""Makes batches of samples; a batch that is sent between processes is stacked in the memory that they share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stica_pv.structures import Batch, ReadFailure

Empty = Callable[[Sequence[int], torch.dtype], Tensor]
"""(shape, dtype) -> an uninitialized tensor."""


def own_memory(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return a tensor in the memory of this process."""
    return torch.empty(tuple(shape), dtype=dtype)


@dataclass(frozen=True)
class Sample:
    """Views of one video before batching; see `Batch`."""

    video: dict[str, Tensor]
    audio: dict[str, Tensor]
    audio_valid: dict[str, float]
    index: int
    label: int | None
    failures: tuple[ReadFailure, ...]


def shared_bytes(items: Sequence[Sample | ReadFailure]) -> tuple[int, int]:
    """Return the bytes of all views of some samples, and the number of tensors of their batch."""
    views = [(*item.video.values(), *item.audio.values()) for item in items if isinstance(item, Sample)]
    return sum(view.nbytes for sample in views for view in sample), max(map(len, views), default=0)


def collate(items: Sequence[Sample | ReadFailure], empty: Empty = own_memory) -> Batch | ReadFailure:
    """Stack samples (every view has one shape by construction, so nothing is padded), or return the first failure.

    Args:
        items: The samples.
        empty: Allocates the batched views by (shape, dtype). A worker allocates them in memory that it shares with the
            main process: this saves a copy, and avoids fragmentation of its own memory.
    """
    for item in items:
        if isinstance(item, ReadFailure):
            return item
    samples = [item for item in items if isinstance(item, Sample)]
    first = samples[0]
    labels = [sample.label for sample in samples if sample.label is not None]
    return Batch(
        video={name: _stacked_frames([sample.video[name] for sample in samples], empty) for name in first.video},
        audio={name: _stacked([sample.audio[name] for sample in samples], empty) for name in first.audio},
        audio_valid={name: torch.tensor([sample.audio_valid[name] for sample in samples]) for name in first.audio},
        index=torch.tensor([sample.index for sample in samples]),
        label=torch.tensor(labels) if len(labels) == len(samples) else None,
        failures=tuple(failure for sample in samples for failure in sample.failures),
    )


def _stacked(values: Sequence[Tensor], empty: Empty) -> Tensor:
    return torch.stack(list(values), out=empty((len(values), *values[0].shape), values[0].dtype))


def _stacked_frames(views: Sequence[Tensor], empty: Empty) -> Tensor:
    """Stack (C, T, H, W) in their memory layout, channels last, so that whole samples are copied at once."""
    return _stacked([view.permute(1, 2, 3, 0) for view in views], empty).permute(0, 4, 1, 2, 3)


def collate_readable(items: Sequence[Sample | ReadFailure], empty: Empty = own_memory) -> Batch:
    """Stack the samples that were read, possibly none; `Batch.failures` names the others."""
    samples = [item for item in items if isinstance(item, Sample)]
    failures = tuple(item for item in items if isinstance(item, ReadFailure))
    batch = collate(samples, empty) if samples else Batch({}, {}, {}, torch.zeros(0, dtype=torch.int64))
    if isinstance(batch, ReadFailure):
        raise AssertionError("samples collate to a batch")
    return replace(batch, failures=(*batch.failures, *failures))
