"""The loader: PyTorch's, with our samples, our order and workers that behave."""

import signal

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from stica_pv.data.dataset import Sample, collate
from stica_pv.errors import UsageError
from stica_pv.structures import SampleKey

PREFETCH = 4  # batches a worker keeps ready


def create_loader(
    dataset: Dataset[Sample],
    sampler: Sampler[list[SampleKey]],
    *,
    num_workers: int,
    pin_memory: bool = False,
) -> DataLoader[Sample]:
    """Builds a loader of `Batch`.

    Args:
        dataset: Samples by key.
        sampler: Keys of each batch.
        num_workers: Processes that read; 0 reads in this one.
        pin_memory: Page-locked batches, for copies to a GPU that overlap with its work.
    """
    if num_workers < 0:
        raise UsageError(f"DATA_LOADER.NUM_WORKERS must be >= 0, got {num_workers}")
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=num_workers,
        pin_memory=pin_memory and torch.cuda.is_available(),
        worker_init_fn=_start_worker,
        prefetch_factor=PREFETCH if num_workers else None,
    )


def _start_worker(_: int) -> None:
    torch.set_num_threads(1)  # the workers are the parallelism
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the main process, which ends its workers
