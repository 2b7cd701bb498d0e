"""Memory of a step, counted on any device: weights, gradients, optimizer, tensors kept for the backward pass."""

import contextlib
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.optim import Optimizer

from stica_pv.distributed import local_part


class KeptTensors:
    """Counts the bytes that the forward pass keeps for the backward pass; parameters are excluded.

    Attributes:
        peak: Peak in bytes.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.peak = 0
        self._now = 0
        self._excluded = {local_part(parameter).untyped_storage().data_ptr() for parameter in parameters}
        self._uses: Counter[int] = Counter()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Counts while entered; storage that several operations keep counts once."""
        with torch.autograd.graph.saved_tensors_hooks(self._pack, _unpack):
            yield

    def _pack(self, tensor: Tensor) -> "_Held":
        held, storage = _Held(tensor), tensor.untyped_storage()
        address, size = storage.data_ptr(), storage.nbytes()
        if address not in self._excluded:
            self._uses[address] += 1
            if self._uses[address] == 1:
                self._now += size
                self.peak = max(self.peak, self._now)
            weakref.finalize(held, self._drop, address, size)
        return held

    def _drop(self, address: int, size: int) -> None:
        self._uses[address] -= 1
        if not self._uses[address]:
            self._now -= size


class _Held:
    """A kept tensor; it is freed when the backward pass no longer needs it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _unpack(held: _Held) -> Tensor:
    return held.tensor


def bytes_of(tensors: Iterable[Tensor | None]) -> int:
    """Returns the total bytes of tensors, of divided ones those of this process."""
    parts = [local_part(tensor) for tensor in tensors if tensor is not None]
    return sum(part.numel() * part.element_size() for part in parts)


def optimizer_bytes(optimizer: Optimizer) -> int:
    """Returns the bytes of the state of an optimizer after a step."""
    return bytes_of(
        value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)
    )
