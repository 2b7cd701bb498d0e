"""Who this process is among its peers. The same code runs with one process, where every answer is the trivial one."""

from collections.abc import Sequence
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

# Flags and barriers travel between CPUs, so that no process waits for its GPU. None: the default group.
_words: list[dist.ProcessGroup | None] = [None]


def connect(backend: str, store: dist.Store, rank: int, world_size: int, timeout: timedelta) -> None:
    """Joins this process with its peers.

    Args:
        backend: ``nccl`` or ``gloo``.
        store: Shared by all of them.
        rank: This process.
        world_size: How many there are.
        timeout: Longest wait for a peer in a collective operation.
    """
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=timeout)
    if backend != "gloo":
        _words[0] = dist.new_group(backend="gloo", timeout=timeout)
    barrier()  # nobody goes on, and perhaps ends, while another is still connecting to it


def disconnect() -> None:
    """Leaves the peers, if there are any."""
    _words[0] = None
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Place of this process, 0 to world_size() - 1."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process writes files."""
    return rank() == 0


def from_main(text: str) -> str:
    """Returns the main process' text on all processes."""
    if world_size() == 1:
        return text
    content = _as_tensor(_encoded(text))
    (size,) = largest([len(content) if is_main() else 0])
    if not is_main():
        content = torch.empty(size, dtype=torch.uint8)
    dist.broadcast(content, src=0, group=_words[0])
    return _decoded(content.numpy().tobytes())


def largest(values: Sequence[int]) -> list[int]:
    """Returns the largest of each value over all processes."""
    if world_size() == 1:
        return [int(value) for value in values]
    found = torch.tensor([int(value) for value in values])
    dist.all_reduce(found, op=dist.ReduceOp.MAX, group=_words[0])
    return [int(value) for value in found]


def to_main(text: str) -> list[str]:
    """Returns the texts of all processes, in the order of their ranks, on the main one; nothing on the others."""
    return [_decoded(content) for content in bytes_to_main(_encoded(text))]


def bytes_to_main(content: bytes) -> list[bytes]:
    """Returns the bytes of all processes, in the order of their ranks, on the main one; nothing on the others.

    Bytes, and no objects: torch would pickle those, and what comes over a network is not to be unpickled.
    """
    if world_size() == 1:
        return [content]
    sizes = [0] * world_size()
    sizes[rank()] = len(content)
    sizes = largest(sizes)
    padded = torch.zeros(max(sizes), dtype=torch.uint8)
    padded[: len(content)] = _as_tensor(content)
    parts = [torch.empty_like(padded) for _ in sizes] if is_main() else None
    dist.gather(padded, parts, dst=0, group=_words[0])
    return [part[:size].numpy().tobytes() for part, size in zip(parts or [], sizes, strict=False)]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # names of files need not be valid text


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _as_tensor(content: bytes) -> Tensor:
    """The bytes as uint8 (len(content),)."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


def barrier() -> None:
    """Waits for all processes."""
    if world_size() > 1:
        dist.barrier(group=_words[0])
