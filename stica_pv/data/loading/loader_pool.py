"""The main process's side of the loader workers: requests are sent ahead, batches are returned in order."""

import itertools
import os
import pickle
import resource
import signal
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Literal

from stica_pv.data.isolation.parent_death import watched_parent
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader_worker import Collate, receive, serve
from stica_pv.errors import LoaderFailed
from stica_pv.structures import Batch, ReadFailure, SampleKey

StartMethod = Literal["fork", "spawn"]

PREFETCH = 4
"""Batches that a worker prefetches."""

_PENDING_BYTES = 2**16
"""Most bytes of pending requests to a worker: they fit into its pipe, so the main process never blocks in sending."""

_POLL_S = 0.2  # while the main process waits, it checks at this interval whether all workers are alive
_END_S = 1.0  # time for a worker to exit by itself, and again after it is killed
_FILES = 4096
"""Limit of open files to set. Each batch that is being sent is one; the system may count all processes of a user."""


@dataclass
class _Worker:
    """A worker, its pipe and the sizes of its pending requests in bytes."""

    process: BaseProcess
    pipe: Connection
    pending: deque[int] = field(default_factory=deque)

    def can_take(self, size: int) -> bool:
        return not self.pending or (len(self.pending) < PREFETCH and sum(self.pending) + size <= _PENDING_BYTES)


class WorkerPool:
    """Worker processes that make batches from lists of keys."""

    def __init__(self, dataset: ClipDataset, collate: Collate, *, workers: int, start_method: StartMethod) -> None:
        """Start the processes.

        Args:
            dataset: Samples by key.
            collate: Makes a batch of samples.
            workers: Number of processes.
            start_method: Start method of the processes.
        """
        _allow_open_files(_FILES)
        self._owner = os.getpid()
        self._cancelled = threading.Event()
        self._workers: list[_Worker] = []
        context: Any = get_context(start_method)  # the common class declares no Process
        parent = watched_parent()
        try:
            for number in range(workers):
                here, there = context.Pipe()
                # A forked process inherits this process's ends of the pipes, and would never notice that they close.
                inherited = [here, *(worker.pipe for worker in self._workers)] if start_method == "fork" else []
                arguments = (there, inherited, dataset, collate, number, parent)
                process = context.Process(target=serve, args=arguments, daemon=True)
                process.start()
                there.close()
                self._workers.append(_Worker(process, here))
        except OSError as error:  # out of memory, processes or files
            self.close()
            raise LoaderFailed(
                f"worker {len(self._workers)} of {workers} of the loader did not start: {error}"
            ) from error

    def batches(self, keys: Iterable[list[SampleKey]]) -> Iterator[Batch | ReadFailure]:
        """Yield the batches in the order of their keys.

        Raises:
            LoaderFailed: A worker has ended, or code in it raised an error.
            UsageError: Code in a worker raised this.
        """
        requests = ((pickle.dumps([(key.epoch, key.index) for key in batch])) for batch in keys)
        senders, receivers = itertools.cycle(self._workers), itertools.cycle(self._workers)
        request, sender = next(requests, None), next(senders)
        for worker in receivers:
            while request is not None and sender.can_take(len(request)):
                self._send(sender, request)
                request, sender = next(requests, None), next(senders)
            if not worker.pending:
                return
            item = self._receive(worker)
            if item is None:
                return
            yield item

    def _send(self, worker: _Worker, request: bytes) -> None:
        try:
            worker.pipe.send_bytes(request)
        except OSError as error:
            raise self._loss(worker) from error
        worker.pending.append(len(request))

    def _receive(self, worker: _Worker) -> Batch | ReadFailure | None:
        """Wait for an answer; None once the pool is canceled."""
        while True:
            ended = [one for one in self._workers if one.process.exitcode is not None]
            if ended:
                raise self._loss(ended[0])
            if self._cancelled.is_set():
                return None
            if worker.pipe.poll(_POLL_S):
                break
        try:
            item = receive(worker.pipe)
        except (EOFError, ConnectionError) as error:
            raise self._loss(worker) from error
        except (OSError, RuntimeError) as error:
            raise LoaderFailed(
                f"cannot open a batch of a loader worker ({error}): if the limit of open files is too low, raise it "
                "(ulimit -n)"
            ) from error
        worker.pending.popleft()
        if isinstance(item, Batch | ReadFailure):
            return item
        raise item.error()

    def _loss(self, worker: _Worker) -> LoaderFailed:
        """Describe the unexpected end of a worker."""
        worker.process.join(_END_S)
        code = worker.process.exitcode
        subject = f"a loader worker (process id {worker.process.pid}, one of {len(self._workers)})"
        if code is None:
            return LoaderFailed(f"{subject} closed its pipe")
        if code >= 0:
            return LoaderFailed(f"{subject} exited with code {code}; set DATA_LOADER.NUM_WORKERS 0 to find the cause")
        name = next((number.name for number in signal.Signals if number == -code), "of real time")
        advice = (
            "probably because memory ran out; lower DATA_LOADER.NUM_WORKERS"
            if -code in (signal.SIGKILL, signal.SIGBUS)
            else "probably by a bug of a library; set DATA_LOADER.NUM_WORKERS 0 to find the cause"
        )
        return LoaderFailed(f"{subject} was killed by signal {-code} ({name}), {advice}")

    def cancel(self) -> None:
        """End `batches` within a poll interval, also while another thread waits in it."""
        self._cancelled.set()

    def close(self) -> None:
        """End the processes: idle ones exit, others get SIGKILL, which also ends the processes in which they read.

        SIGTERM has no effect: workers ignore it, see `stica_pv.data.loading.loader_worker.serve`.
        """
        if os.getpid() != self._owner:  # a process that was forked while this pool existed
            return
        self.cancel()
        for worker in self._workers:
            worker.pipe.close()
            if worker.pending:
                worker.process.kill()
        _join(self._workers)
        for worker in self._workers:
            worker.process.kill()
        _join(self._workers)  # a process that is blocked by a dead disk cannot be ended
        self._workers = []


def _join(workers: list[_Worker]) -> None:
    until = time.monotonic() + _END_S
    for worker in workers:
        worker.process.join(max(0.0, until - time.monotonic()))


def _allow_open_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
