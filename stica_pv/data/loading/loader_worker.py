"""A loader worker: answers each list of keys with a batch or a failure."""

import contextlib
import logging
import os
import pickle
import random
import re
import signal
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Protocol

import numpy as np
import torch

from stica_pv.data.isolation.isolated import begin_worker
from stica_pv.data.isolation.parent_death import end_with_parent
from stica_pv.data.loading.collate import Empty, Sample, own_memory, shared_bytes
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.shared_memory import Segment, dump, load, map_memory
from stica_pv.errors import LoaderFailed, UsageError
from stica_pv.structures import Batch, ReadFailure, SampleKey

logger = logging.getLogger(__name__)

_LOCATION = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_LIBRARIES = ("site-packages", os.path.dirname(os.__file__))


class Collate(Protocol):
    """Makes a batch of samples."""

    def __call__(self, items: Sequence[Sample | ReadFailure], empty: Empty) -> Batch | ReadFailure:
        """Return the batch, in memory that ``empty(shape, dtype)`` allocates."""


@dataclass(frozen=True)
class Failure:
    """An exception in making a batch.

    Attributes:
        reason: The exception in one line.
        trace: The traceback.
        usage: Whether it is a `UsageError`.
    """

    reason: str
    trace: str
    usage: bool

    def error(self) -> Exception:
        """Return the exception that the main process raises, and log the traceback at debug level."""
        logger.debug("in the loader: %s", self.trace)
        return UsageError(self.reason) if self.usage else LoaderFailed(f"the loader failed: {self.reason}")


def failure_of(error: Exception) -> Failure:
    """Describe the exception being handled, with the innermost line of code, outside of libraries if possible."""
    trace = traceback.format_exc()
    if isinstance(error, UsageError):
        return Failure(str(error), trace, usage=True)
    message = " ".join(str(error).split())
    locations = _LOCATION.findall(trace)  # notes are last: those of a decoding process name its innermost line
    own = [one for one in locations if not any(library in one[0] for library in _LIBRARIES)] or locations
    location = f" ({os.path.basename(own[-1][0])}:{own[-1][1]}, in {own[-1][2]})" if own else ""
    return Failure(f"{type(error).__name__}: {message}{location}", trace, usage=False)


def make_batch(dataset: ClipDataset, collate: Collate, keys: Sequence[SampleKey]) -> Batch | ReadFailure | Failure:
    """Read and collates in this process."""
    try:
        return collate([dataset[key] for key in keys], own_memory)
    except Exception as error:  # code of the user runs here too
        return failure_of(error)


def serve(
    pipe: Connection,
    inherited: Sequence[Connection],
    dataset: ClipDataset,
    collate: Collate,
    number: int,
    parent: int,
) -> None:
    """Run a worker: answers requests until the pipe is closed.

    Args:
        pipe: Pipe to the main process.
        inherited: Ends of pipes that belong to the main process only.
        dataset: Samples by key.
        collate: Makes a batch of samples.
        number: Number of this worker.
        parent: See `end_with_parent`.
    """
    end_with_parent(parent)
    for other in inherited:
        other.close()
    torch.set_num_threads(1)  # the workers are the parallelism
    # A terminal or Slurm sends them to all processes of a run; the main process then saves, and ends its workers.
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(signal_number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for seed in (random.seed, np.random.seed, torch.manual_seed):  # for code of the user: ours uses keyed randomness
        seed(number)
    begin_worker()
    with contextlib.suppress(EOFError, ConnectionError):  # the main process closed the pipe, or has ended
        while True:
            _answer(pipe, dataset, collate, [SampleKey(*key) for key in pickle.loads(pipe.recv_bytes())])


def _answer(pipe: Connection, dataset: ClipDataset, collate: Collate, keys: Sequence[SampleKey]) -> None:
    segment: Segment | None = None
    try:
        items = [dataset[key] for key in keys]
        size, tensors = shared_bytes(items)
        segment = Segment(size, tensors) if size else None
        body = dump(collate(items, segment.empty if segment else own_memory), segment)
    except Exception as error:
        body = pickle.dumps(failure_of(error))
        if segment is not None:
            segment.close()
            segment = None
    pipe.send_bytes(pickle.dumps((body, segment.size if segment else 0)))
    if segment is not None:
        send_handle(pipe, segment.file, None)
        segment.close()


def receive(pipe: Connection) -> Batch | ReadFailure | Failure:
    """Return the answer of a worker, in the main process.

    Raises:
        EOFError, OSError, RuntimeError: The worker has ended, or memory that it sent cannot be opened.
    """
    body, size = pickle.loads(pipe.recv_bytes())
    memory = map_memory(recv_handle(pipe), size) if size else None
    return load(body, memory)
