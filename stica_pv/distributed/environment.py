"""Who this process is among its peers. The same code runs with one process, where every answer is the trivial one."""

import torch.distributed as dist


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
        dist.broadcast_object_list(box, src=0)
    return box[0]


def barrier() -> None:
    """Waits for all processes."""
    if world_size() > 1:
        dist.barrier()
