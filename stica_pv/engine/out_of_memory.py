"""Out-of-memory errors of a GPU: the run ends with one line that names the request and keys that need less memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from stica_pv.config import CfgNode
from stica_pv.distributed import world_size
from stica_pv.errors import RunFailed

_FREE = " is free"  # the message of torch up to here gives requested and free memory
_LONGEST = 300


@contextmanager
def fails_when_full(where: Callable[[], str], advice: str) -> Iterator[None]:
    """Raises `RunFailed` for `torch.OutOfMemoryError`, and for nothing else.

    Args:
        where: Returns what was being done; called on failure.
        advice: Cause of the need for memory, and the remedy.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        before, free, _ = " ".join(str(error).split()).partition(_FREE)
        raise RunFailed(
            f"{where()}: the memory of the GPU is full ({before[:_LONGEST]}{free}) with {advice}"
        ) from error


def training_advice(cfg: CfgNode, batch_key: str = "TRAIN.BATCH_SIZE") -> str:
    """Returns advice for less memory in training; settings already in use are left out.

    Args:
        cfg: Configuration of the training.
        batch_key: Key of its batch size.
    """
    batch, train = cfg.TRAIN.BATCH_SIZE, cfg.TRAIN
    lower = [] if train.MIXED_PRECISION else ["TRAIN.MIXED_PRECISION True"]
    if batch_key == "TRAIN.BATCH_SIZE":
        lower += [] if cfg.MODEL.ACT_CHECKPOINT else ["MODEL.ACT_CHECKPOINT True"]
        lower += [f"TRAIN.GRAD_CACHE_CHUNK below {train.GRAD_CACHE_CHUNK or batch // world_size()}"]
    lower += [f"{batch_key} below {batch}"]
    return f"{batch_key} {batch} ({batch // world_size()} on each process): set {' or '.join(lower)}"
