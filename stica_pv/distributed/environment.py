"""Rank, world size, and exchange of text between processes. All of it also works with a single process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

# Group for flags, text and barriers, on CPUs so that no process waits for its GPU. None: the default group.
_cpu_group: list[dist.ProcessGroup | None] = [None]
_alone = ContextVar("alone", default=False)


def connect(backend: str, store: dist.Store, rank: int, world_size: int, timeout: timedelta) -> None:
    """Connects this process to the others.

    Args:
        backend: ``nccl`` or ``gloo``.
        store: Store that all of them share.
        rank: Rank of this process.
        world_size: Number of processes.
        timeout: Longest wait for another process in a collective operation.
    """
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=timeout)
    if backend != "gloo":
        _cpu_group[0] = dist.new_group(backend="gloo", timeout=timeout)
    barrier()  # no process continues, and perhaps ends, while another is still connecting to it


def disconnect() -> None:
    """Disconnects from the other processes, if there are any."""
    _cpu_group[0] = None
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


@contextmanager
def alone() -> Iterator[None]:
    """Lets one process work while the others do not: inside, it is the only one, and exchanges nothing."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def world_size() -> int:
    """Returns the number of processes."""
    return dist.get_world_size() if _is_connected() else 1


def rank() -> int:
    """Returns the rank of this process, 0 to world_size() - 1."""
    return dist.get_rank() if _is_connected() else 0


def _is_connected() -> bool:
    return dist.is_available() and dist.is_initialized() and not _alone.get()


def is_main() -> bool:
    """Whether this is the main process, which writes files."""
    return rank() == 0


def from_main(text: str) -> str:
    """Returns the text of the main process on all processes."""
    if world_size() == 1:
        return text
    content = _as_tensor(_encoded(text))
    (size,) = largest([len(content) if is_main() else 0])
    if not is_main():
        content = torch.empty(size, dtype=torch.uint8)
    dist.broadcast(content, src=0, group=_cpu_group[0])
    return _decoded(content.numpy().tobytes())


def largest(values: Sequence[int]) -> list[int]:
    """Returns the largest of each value over all processes."""
    if world_size() == 1:
        return [int(value) for value in values]
    found = torch.tensor([int(value) for value in values])
    dist.all_reduce(found, op=dist.ReduceOp.MAX, group=_cpu_group[0])
    return [int(value) for value in found]


def to_main(text: str) -> list[str]:
    """Returns the texts of all processes, in the order of ranks, on the main one; an empty list on the others."""
    return [_decoded(content) for content in bytes_to_main(_encoded(text))]


def bytes_to_main(content: bytes) -> list[bytes]:
    """Returns the bytes of all processes, in the order of ranks, on the main one; an empty list on the others.

    Bytes instead of objects: torch would pickle those, and data from a network must not be unpickled.
    """
    if world_size() == 1:
        return [content]
    sizes = [0] * world_size()
    sizes[rank()] = len(content)
    sizes = largest(sizes)
    padded = torch.zeros(max(sizes), dtype=torch.uint8)
    padded[: len(content)] = _as_tensor(content)
    parts = [torch.empty_like(padded) for _ in sizes] if is_main() else None
    dist.gather(padded, parts, dst=0, group=_cpu_group[0])
    return [part[:size].numpy().tobytes() for part, size in zip(parts or [], sizes, strict=False)]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # file names need not be valid text


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _as_tensor(content: bytes) -> Tensor:
    """Returns the bytes as uint8 (len(content),)."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


def barrier() -> None:
    """Waits for all processes."""
    if world_size() > 1:
        dist.barrier(group=_cpu_group[0])
