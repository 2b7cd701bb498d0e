"""The loader: PyTorch's, with our samples, our order and workers that behave."""

import atexit
import signal
import weakref
from collections.abc import Generator, Sequence

import torch
from torch.utils.data import DataLoader, Sampler

from stica_pv.data.dataset import ClipDataset, Sample, collate, collate_readable
from stica_pv.errors import UnreadableClip, UsageError, check_choice
from stica_pv.structures import Batch, ReadFailure, SampleKey

START_METHODS = ("fork", "spawn")
PREFETCH = 4  # batches a worker keeps ready

Batches = Generator[Batch, None, None]
_BEGUN: weakref.WeakSet[Batches] = weakref.WeakSet()


@atexit.register
def _end_workers() -> None:
    """Ends the workers of batches that are still held when Python exits, e.g. by a variable of a script.

    Python would send them SIGTERM, which they leave to the main process, and wait for ever.
    """
    for batches in list(_BEGUN):
        batches.close()


class ClipLoader:
    """Yields the batches of a sampler; iterating raises `UnreadableClip` where a sample has no replacement."""

    def __init__(
        self,
        dataset: ClipDataset,
        sampler: Sampler[list[SampleKey]],
        *,
        num_workers: int,
        pin_memory: bool = False,
        start_method: str = "fork",
        keep_failures: bool = False,
        shuffle_sound: bool = False,
    ) -> None:
        """Prepares the loader; workers start with the iteration.

        Args:
            dataset: Samples by key.
            sampler: Keys of each batch.
            num_workers: Processes that read; 0 reads in this one.
            pin_memory: Page-locked batches, for copies to a GPU that overlap with its work.
            start_method: ``fork`` starts workers at once; ``spawn`` takes seconds for each, but copies no threads.
            keep_failures: A batch goes on without the samples that have no replacement, and names them.
            shuffle_sound: A control: each clip of a batch hears the one before it.
        """
        check_choice("DATA_LOADER.START_METHOD", start_method, START_METHODS)
        if keep_failures and shuffle_sound:
            raise ValueError("sound is shuffled in training, failures are kept in evaluation")
        if num_workers < 0:
            raise UsageError(f"DATA_LOADER.NUM_WORKERS must be >= 0, got {num_workers}")
        self.dataset = dataset
        self._loader: DataLoader[Batch | ReadFailure] = DataLoader(
            dataset,  # type: ignore[arg-type]  # DataLoader's type has no room for collate's
            batch_sampler=sampler,
            collate_fn=_collate_shuffled if shuffle_sound else collate_readable if keep_failures else collate,
            num_workers=num_workers,
            pin_memory=pin_memory and torch.cuda.is_available(),
            worker_init_fn=_start_worker,
            prefetch_factor=PREFETCH if num_workers else None,
            # Named, since a process that was itself spawned would spawn its workers too.
            multiprocessing_context=start_method if num_workers else None,
        )

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Batches:
        batches = self._batches()
        _BEGUN.add(batches)
        return batches

    def _batches(self) -> Batches:
        items = iter(self._loader)
        try:
            for item in items:
                if isinstance(item, ReadFailure):
                    raise UnreadableClip(item.path, item.cause)
                yield item
        finally:
            del items  # ends the workers, also if a traceback keeps this frame


def _collate_shuffled(items: Sequence[Sample | ReadFailure]) -> Batch | ReadFailure:
    batch = collate(items)
    return batch if isinstance(batch, ReadFailure) else batch.with_shuffled_sound()


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)  # the workers are the parallelism
    # A terminal or Slurm sends them to all processes of a run; the main one then saves, and ends its workers itself.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
