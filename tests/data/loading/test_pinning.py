"""The order of batches, errors and the end, with page-locking itself left out: that needs a GPU."""

import threading
from collections.abc import Iterator

import pytest
import torch

from stica_pv.data.loading import pinning
from stica_pv.data.loading.pinning import pin_ahead
from stica_pv.errors import LoaderFailed
from stica_pv.structures import Batch


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Take the place of CUDA; return the devices that threads have chosen."""
    devices: list[int] = []
    monkeypatch.setattr(pinning.torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(pinning.torch.cuda, "set_device", devices.append)
    monkeypatch.setattr(pinning.torch, "set_num_threads", lambda number: None)
    monkeypatch.setattr(Batch, "pin_memory", lambda self: self)
    return devices


def batch(number: int) -> Batch:
    return Batch({}, {}, {}, torch.tensor([number]))


def numbers(batches: Iterator[Batch], cancel=lambda: None) -> list[int]:
    return [int(item.index) for item in pin_ahead(batches, cancel)]


def test_batches_keep_their_order_and_the_thread_its_gpu(no_gpu: list[int]):
    assert numbers(map(batch, range(20))) == list(range(20))
    assert no_gpu == [3]


def test_an_error_comes_behind_the_batches_before_it():
    def failing() -> Iterator[Batch]:
        yield batch(0)
        raise LoaderFailed("a worker is gone")

    items = pin_ahead(failing(), lambda: None)
    assert int(next(items).index) == 0
    with pytest.raises(LoaderFailed, match="a worker is gone"):
        next(items)


def test_closing_ends_the_thread_also_while_it_waits_for_a_batch():
    canceled = threading.Event()

    def waiting() -> Iterator[Batch]:
        yield batch(0)
        canceled.wait(30)

    before = threading.active_count()
    items = pin_ahead(waiting(), canceled.set)
    next(items)
    items.close()
    assert canceled.is_set()
    assert threading.active_count() == before


def test_closing_ends_the_thread_also_while_its_queue_is_full():
    before = threading.active_count()
    items = pin_ahead(map(batch, range(100)), lambda: None)
    next(items)
    items.close()
    assert threading.active_count() == before
