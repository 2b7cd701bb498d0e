"""Who this process is among its peers. The same code runs with one process, where every answer is the trivial one."""

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

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
    box = [text]
    if world_size() > 1:
        dist.broadcast_object_list(box, src=0, group=_words[0])
    return box[0]


def largest(values: Sequence[int]) -> list[int]:
    """Returns the largest of each value over all processes."""
    if world_size() == 1:
        return [int(value) for value in values]
    found = torch.tensor([int(value) for value in values])
    dist.all_reduce(found, op=dist.ReduceOp.MAX, group=_words[0])
    return [int(value) for value in found]


def to_main(value: T) -> list[T]:
    """Returns the values of all processes, in the order of their ranks, on the main one; nothing on the others."""
    if world_size() == 1:
        return [value]
    values: list[T | None] | None = [None] * world_size() if is_main() else None
    dist.gather_object(value, values, group=_words[0])
    return [each for each in values or [] if each is not None]


def barrier() -> None:
    """Waits for all processes."""
    if world_size() > 1:
        dist.barrier(group=_words[0])
