"""The loader: batches of samples in a given order, made by worker processes that end with it."""

import atexit
import contextlib
import weakref
from collections.abc import Generator, Iterator, Sequence
from typing import Protocol, cast, get_args

import torch

from stica_pv.data.loading.collate import Empty, Sample, collate, collate_readable, own_memory
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader_pool import StartMethod, WorkerPool
from stica_pv.data.loading.loader_worker import Failure, make_batch
from stica_pv.data.loading.pinning import pin, pin_ahead
from stica_pv.errors import UnreadableClip, UsageError, check_choice
from stica_pv.structures import Batch, ReadFailure, SampleKey

START_METHODS = get_args(StartMethod)


class Order(Protocol):
    """Iterable over the keys of each batch, in order."""

    def __len__(self) -> int: ...  # noqa: D105 - a protocol's methods
    def __iter__(self) -> Iterator[list[SampleKey]]: ...  # noqa: D105


Batches = Generator[Batch, None, None]
_BEGUN: weakref.WeakSet[Batches] = weakref.WeakSet()


@atexit.register
def _end_workers() -> None:
    """End the workers of iterators that are still alive when Python exits, e.g. in a variable of a script.

    Python would send them SIGTERM, which they ignore, and wait forever.
    """
    for batches in list(_BEGUN):
        batches.close()


class ClipLoader:
    """Yields the batches of a sampler.

    Iterating raises `UnreadableClip` if a sample has no replacement, and `LoaderFailed` if code in the loader raises an
    error or a worker exits; all workers are then ended, as they are when the iterator is closed or deleted.
    """

    def __init__(
        self,
        dataset: ClipDataset,
        sampler: Order,
        *,
        num_workers: int,
        pin_memory: bool = False,
        start_method: str = "fork",
        keep_failures: bool = False,
        shuffle_audio: bool = False,
    ) -> None:
        """Prepare the loader; workers start with the iteration.

        Args:
            dataset: Samples by key.
            sampler: Keys of each batch.
            num_workers: Number of worker processes; 0 reads in this process.
            pin_memory: Whether batches are page-locked, so that copies to a GPU overlap with its work.
            start_method: ``fork`` starts workers immediately; ``spawn`` takes seconds for each, but copies no threads.
            keep_failures: Whether a batch omits and names the samples that have no replacement, instead of failing.
            shuffle_audio: A control: each clip of a batch gets the audio of the one before it.
        """
        check_choice("DATA_LOADER.START_METHOD", start_method, START_METHODS)
        if keep_failures and shuffle_audio:
            raise ValueError("audio is shuffled in training, failures are kept in evaluation")
        if num_workers < 0:
            raise UsageError(f"DATA_LOADER.NUM_WORKERS must be >= 0, got {num_workers}")
        self.dataset, self._sampler = dataset, sampler
        self._collate = _collate_shuffled if shuffle_audio else collate_readable if keep_failures else collate
        self._num_workers, self._start_method = num_workers, cast(StartMethod, start_method)
        self._pin = pin_memory and torch.cuda.is_available()

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Batches:
        batches = self._batches()
        _BEGUN.add(batches)
        return batches

    def _batches(self) -> Batches:
        with contextlib.closing(self._from_workers() if self._num_workers else self._from_here()) as items:
            for item in items:
                if isinstance(item, ReadFailure):
                    raise UnreadableClip(item.path, item.cause)
                yield item

    def _from_here(self) -> Generator[Batch | ReadFailure]:
        for keys in self._sampler:
            item = make_batch(self.dataset, self._collate, keys)
            if isinstance(item, Failure):
                raise item.error()
            yield pin(item) if self._pin else item

    def _from_workers(self) -> Generator[Batch | ReadFailure]:
        pool = WorkerPool(self.dataset, self._collate, workers=self._num_workers, start_method=self._start_method)
        with contextlib.closing(pool):
            items: Iterator[Batch | ReadFailure] = pool.batches(self._sampler)
            yield from pin_ahead(items, pool.cancel) if self._pin else items


def _collate_shuffled(items: Sequence[Sample | ReadFailure], empty: Empty = own_memory) -> Batch | ReadFailure:
    batch = collate(items, empty)
    return batch if isinstance(batch, ReadFailure) else batch.with_shuffled_audio()
