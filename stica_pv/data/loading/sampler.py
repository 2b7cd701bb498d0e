"""Selects the videos of each step: a permutation per epoch, cut into global batches, split over the processes."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Sampler

from stica_pv.data.sources.groups import check_batches, deal_apart
from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.structures import SampleKey


class StepSampler(Sampler[list[SampleKey]]):
    """Batch sampler with random access by the number of the step.

    The global batch of a step depends only on the seed and the step, not on the number of processes or workers or on
    where the run was resumed. The incomplete last batch of an epoch is dropped. Videos of one group are never in the
    same batch (clips of one source are not true negatives of each other).
    """

    def __init__(
        self,
        length: int,
        *,
        batch_size: int,
        seed: int,
        start: int = 0,
        end: int = 0,
        rank: int = 0,
        world_size: int = 1,
        groups: NDArray[np.int64] | None = None,
    ) -> None:
        """Set up the batches of a run.

        Args:
            length: Number of videos.
            batch_size: Global batch size.
            seed: Seed of the run.
            start: First step to yield, counted from the start of the run.
            end: Step before which to stop; may be set later, since it often depends on `steps_per_epoch`.
            rank: Rank of this process.
            world_size: Number of processes; must divide the batch size.
            groups: Group of each video, int64 (N,) from 0 on; None for no groups.

        Raises:
            UsageError: The videos do not fill one batch, the batch size is not divisible by the number of processes, or
                too many videos share a group.
        """
        if batch_size < 1:
            raise UsageError(f"TRAIN.BATCH_SIZE must be >= 1, got {batch_size}")
        if batch_size > length:
            raise UsageError(
                f"TRAIN.BATCH_SIZE {batch_size} is larger than the {length} usable videos: use a smaller batch"
            )
        if batch_size % world_size:
            raise UsageError(
                f"TRAIN.BATCH_SIZE {batch_size} (global) is not divisible by {world_size} processes: "
                f"try {max(1, batch_size // world_size) * world_size}"
            )
        if groups is not None:
            check_batches(groups, batch_size)
        self.length, self.batch_size, self.seed, self.groups = length, batch_size, seed, groups
        self.start, self.end = start, end
        self.local_size = batch_size // world_size
        self.offset = rank * self.local_size
        self.steps_per_epoch = length // batch_size
        self._orders: dict[int, torch.Tensor] = {}

    def __len__(self) -> int:
        return max(0, self.end - self.start)

    def epoch_of(self, step: int) -> int:
        """Return the epoch of a step."""
        return step // self.steps_per_epoch

    def local_indices(self, step: int) -> tuple[int, ...]:
        """Return the positions in the list that this process uses in a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch not in self._orders:
            # Two are kept: at the end of an epoch, the loader, which prefetches, and the loop use different epochs.
            self._orders = {**dict(list(self._orders.items())[-1:]), epoch: self._order(epoch)}
        start = position * self.batch_size + self.offset
        return tuple(self._orders[epoch][start : start + self.local_size].tolist())

    def _order(self, epoch: int) -> torch.Tensor:
        rng = generator("order", self.seed, epoch)
        order = torch.randperm(self.length, generator=rng)
        return order if self.groups is None else deal_apart(order, self.groups, self.batch_size, rng)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for step in range(self.start, self.end):
            epoch = self.epoch_of(step)
            yield [SampleKey(epoch, index) for index in self.local_indices(step)]
