"""Memory that processes share. It has no name and no size limit of its own, so a killed process leaves nothing behind.

Files in ``/dev/shm``, which PyTorch uses, are limited to 64 MB in a Docker container, and a worker that exceeds the
limit fails or is killed. An anonymous file counts as memory of the process only.
"""

import io
import math
import mmap
import os
import pickle
import tempfile
import weakref
from collections.abc import Sequence
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
import torch
from torch import Tensor

_ALIGNMENT = 64  # bytes, the size of a cache line


def _create_file(size: int) -> int:
    """Return the descriptor of an anonymous file of zeros."""
    if hasattr(os, "memfd_create"):
        file = os.memfd_create("stica_pv")
    else:
        with tempfile.TemporaryFile() as named:
            file = os.dup(named.fileno())
    os.ftruncate(file, size)
    return file


class SharedIntegers:
    """int32 numbers that a process shares with its forked or spawned child processes."""

    def __init__(self, count: int, value: int) -> None:
        self._attach(_create_file(4 * max(1, count)), count)
        self._values[:] = value

    def _attach(self, file: int, count: int) -> None:
        self._file, self._count = file, count
        self._values = np.frombuffer(mmap.mmap(file, 4 * max(1, count)), np.int32, count)
        weakref.finalize(self, os.close, file)

    def __getitem__(self, index: int) -> int:
        return int(self._values[index])

    def __setitem__(self, index: int, value: int) -> None:
        self._values[index] = value

    def __reduce__(self) -> tuple[Any, ...]:
        return _attached, (DupFd(self._file), self._count)


def _attached(file: Any, count: int) -> SharedIntegers:
    numbers = SharedIntegers.__new__(SharedIntegers)
    numbers._attach(file.detach(), count)
    return numbers


class Segment:
    """Shared memory for the tensors of a message, see `dump`.

    Attributes:
        file: Descriptor to send with the message; after `close` the tensors keep their memory.
        size: Size in bytes.
    """

    def __init__(self, size: int, tensors: int) -> None:
        """Allocate memory for a number of tensors of `size` bytes in total."""
        self.size = size + tensors * _ALIGNMENT
        self.file = _create_file(self.size)
        self._memory = map_memory(self.file, self.size)
        self._used = 0

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return a tensor in this memory; in the memory of the process if this is full."""
        size = math.prod(shape) * dtype.itemsize
        begin, end = self._used, self._used + size
        if end > self.size:
            return torch.empty(tuple(shape), dtype=dtype)
        self._used = -(-end // _ALIGNMENT) * _ALIGNMENT
        return self._memory[begin:end].view(dtype).view(tuple(shape))

    def holds(self, tensor: Tensor) -> bool:
        """Return whether a tensor is in this memory."""
        return tensor.untyped_storage().data_ptr() == self._memory.untyped_storage().data_ptr()

    def close(self) -> None:
        """Close the file."""
        os.close(self.file)


def map_memory(file: int, size: int) -> Tensor:
    """Return the memory of a file as uint8 (size,); it is kept as long as a tensor refers to it."""
    return torch.frombuffer(mmap.mmap(file, size), dtype=torch.uint8)


def dump(value: object, segment: Segment | None) -> bytes:
    """Pickle a value; for tensors in the segment, only their positions."""
    buffer = io.BytesIO()
    _Pickler(buffer, segment).dump(value)
    return buffer.getvalue()


def load(body: bytes, memory: Tensor | None) -> Any:
    """Return the value of a `dump`; `memory` is the memory of its segment, from `map_memory`."""
    return _Unpickler(io.BytesIO(body), memory).load()


class _Pickler(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO, segment: Segment | None) -> None:
        super().__init__(buffer, protocol=5)
        self._segment = segment

    def persistent_id(self, value: object) -> Any:
        if not isinstance(value, Tensor):
            return None
        if self._segment is None or not self._segment.holds(value):
            return value.numpy()  # pickling a tensor would use torch.save
        return value.dtype, tuple(value.shape), value.stride(), value.storage_offset()


class _Unpickler(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, memory: Tensor | None) -> None:
        super().__init__(buffer)
        self._memory = memory

    def persistent_load(self, found: Any) -> Tensor:
        if isinstance(found, np.ndarray):
            return torch.from_numpy(found)
        if self._memory is None:
            raise ValueError("the message has tensors in shared memory, but no memory was sent")
        dtype, shape, stride, offset = found
        return torch.empty(0, dtype=dtype).set_(self._memory.untyped_storage(), offset, shape, stride)
