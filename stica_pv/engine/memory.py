"""What a step needs memory for, counted on any device: weights, gradients, optimizer, what the backward pass needs."""

import contextlib
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.optim import Optimizer


class KeptTensors:
    """Counts the bytes that the forward pass keeps for the backward pass; parameters themselves are left out.

    Attributes:
        peak: The most at a time, in bytes.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.peak = 0
        self._now = 0
        self._apart = {parameter.untyped_storage().data_ptr() for parameter in parameters}
        self._uses: Counter[int] = Counter()

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Counts inside; one memory that several operations keep counts once."""
        with torch.autograd.graph.saved_tensors_hooks(self._pack, _unpack):
            yield

    def _pack(self, tensor: Tensor) -> "_Held":
        held, storage = _Held(tensor), tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        if place not in self._apart:
            self._uses[place] += 1
            if self._uses[place] == 1:
                self._now += size
                self.peak = max(self.peak, self._now)
            weakref.finalize(held, self._drop, place, size)
        return held

    def _drop(self, place: int, size: int) -> None:
        self._uses[place] -= 1
        if not self._uses[place]:
            self._now -= size


class _Held:
    """A kept tensor; it ends when the backward pass no longer needs it."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def _unpack(held: _Held) -> Tensor:
    return held.tensor


def bytes_of(tensors: Iterable[Tensor | None]) -> int:
    """Adds up the bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)


def optimizer_bytes(optimizer: Optimizer) -> int:
    """Adds up what an optimizer has stored after a step."""
    return bytes_of(
        value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)
    )
