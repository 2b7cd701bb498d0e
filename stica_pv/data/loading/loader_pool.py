"""The workers of a loader as the main process sees them: asked ahead, answered in order, and ended within seconds."""

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
"""Batches that a worker makes ahead."""

_ASKED_BYTES = 2**16
"""Of questions that a worker has not answered: they fit into its pipe, so the main process never waits to send one."""

_LOOK_S = 0.2  # while the main process waits, it looks so often whether all workers live
_END_S = 1.0  # for a worker to end by itself, and then by force
_FILES = 4096
"""Files that may be open. Each batch on its way is one, and the system counts those of all processes of a user."""


@dataclass
class _Worker:
    """A worker, its pipe and the sizes of the questions that it has not answered."""

    process: BaseProcess
    pipe: Connection
    asked: deque[int] = field(default_factory=deque)

    def has_room(self, size: int) -> bool:
        return not self.asked or (len(self.asked) < PREFETCH and sum(self.asked) + size <= _ASKED_BYTES)


class WorkerPool:
    """Processes that make the batches of some lists of keys."""

    def __init__(self, dataset: ClipDataset, collate: Collate, *, workers: int, start_method: StartMethod) -> None:
        """Starts the processes.

        Args:
            dataset: Samples by key.
            collate: Joins them.
            workers: How many processes.
            start_method: Of the processes.
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
                # A forked process has this one's ends of the pipes too, and would never see them closed.
                inherited = [here, *(worker.pipe for worker in self._workers)] if start_method == "fork" else []
                arguments = (there, inherited, dataset, collate, number, parent)
                process = context.Process(target=serve, args=arguments, daemon=True)
                process.start()
                there.close()
                self._workers.append(_Worker(process, here))
        except OSError as error:  # no memory, no process or no file left
            self.close()
            raise LoaderFailed(
                f"worker {len(self._workers)} of {workers} of the loader did not start: {error}"
            ) from error

    def batches(self, keys: Iterable[list[SampleKey]]) -> Iterator[Batch | ReadFailure]:
        """Yields the batches in the order of their keys.

        Raises:
            LoaderFailed: A worker has ended, or code in it raised an error.
            UsageError: Code in a worker raised this.
        """
        waiting = ((pickle.dumps([(key.epoch, key.index) for key in batch])) for batch in keys)
        turns, nexts = itertools.cycle(self._workers), itertools.cycle(self._workers)
        question, to_ask = next(waiting, None), next(nexts)
        for worker in turns:
            while question is not None and to_ask.has_room(len(question)):
                self._ask(to_ask, question)
                question, to_ask = next(waiting, None), next(nexts)
            if not worker.asked:
                return
            item = self._receive(worker)
            if item is None:
                return
            yield item

    def _ask(self, worker: _Worker, question: bytes) -> None:
        try:
            worker.pipe.send_bytes(question)
        except OSError as error:
            raise self._loss(worker) from error
        worker.asked.append(len(question))

    def _receive(self, worker: _Worker) -> Batch | ReadFailure | None:
        """Waits for an answer; None once the pool is canceled."""
        while True:
            ended = [one for one in self._workers if one.process.exitcode is not None]
            if ended:
                raise self._loss(ended[0])
            if self._cancelled.is_set():
                return None
            if worker.pipe.poll(_LOOK_S):
                break
        try:
            item = receive(worker.pipe)
        except (EOFError, ConnectionError) as error:
            raise self._loss(worker) from error
        except (OSError, RuntimeError) as error:
            raise LoaderFailed(
                f"a batch of a loader worker cannot be opened ({error}): if files are the limit, raise it (ulimit -n)"
            ) from error
        worker.asked.popleft()
        if isinstance(item, Batch | ReadFailure):
            return item
        raise item.error()

    def _loss(self, worker: _Worker) -> LoaderFailed:
        """Describes the end of a worker that should live."""
        worker.process.join(_END_S)
        code = worker.process.exitcode
        told = f"a loader worker (process id {worker.process.pid}, one of {len(self._workers)})"
        if code is None:
            return LoaderFailed(f"{told} has closed its pipe")
        if code >= 0:
            return LoaderFailed(f"{told} ended by itself with exit code {code}; DATA_LOADER.NUM_WORKERS 0 shows where")
        name = next((number.name for number in signal.Signals if number == -code), "of real time")
        advice = (
            "probably because memory ran out; lower DATA_LOADER.NUM_WORKERS"
            if -code in (signal.SIGKILL, signal.SIGBUS)
            else "as by a fault of a library; DATA_LOADER.NUM_WORKERS 0 shows where"
        )
        return LoaderFailed(f"{told} was killed by signal {-code} ({name}), {advice}")

    def cancel(self) -> None:
        """Ends `batches` soon, also while another thread waits in it."""
        self._cancelled.set()

    def close(self) -> None:
        """Ends the processes: idle ones by themselves, others by SIGKILL, which also ends those in which they read.

        SIGTERM would not do: they leave it to the main process, see `stica_pv.data.loading.loader_worker.serve`.
        """
        if os.getpid() != self._owner:  # a process that was forked while this pool was there
            return
        self.cancel()
        for worker in self._workers:
            worker.pipe.close()
            if worker.asked:
                worker.process.kill()
        _join(self._workers)
        for worker in self._workers:
            worker.process.kill()
        _join(self._workers)  # what waits for a dead disk is left behind
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
