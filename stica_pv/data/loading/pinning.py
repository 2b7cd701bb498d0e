"""Copies batches to page-locked memory in a thread, so that copies to a GPU overlap with its work."""

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator

import torch

from stica_pv.structures import Batch, ReadFailure

_AHEAD = 2  # batches that are page-locked in advance
_POLL_S = 0.2
_END_S = 5.0

Item = Batch | ReadFailure


def pin(item: Item) -> Item:
    """Return a batch in page-locked memory; a failure unchanged."""
    return item.pin_memory() if isinstance(item, Batch) else item


def pin_ahead(items: Iterator[Item], cancel: Callable[[], None]) -> Generator[Item]:
    """Yield items, page-locked by a thread.

    Args:
        items: Batches or failures; the thread iterates over them.
        cancel: Ends `items` soon; called when no more are needed.
    """
    ready: queue.Queue[Item | Exception | None] = queue.Queue(_AHEAD)
    stopped, device = threading.Event(), torch.cuda.current_device()

    def put(item: Item | Exception | None) -> None:
        while not stopped.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=_POLL_S)
                return

    def work() -> None:
        torch.cuda.set_device(device)  # each thread has its own current device
        torch.set_num_threads(1)
        try:
            for item in items:
                put(pin(item))
                if stopped.is_set():
                    return
            put(None)
        except Exception as error:  # raised where the items are taken
            put(error)

    thread = threading.Thread(target=work, name="pin", daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stopped.set()
        cancel()
        thread.join(_END_S)
