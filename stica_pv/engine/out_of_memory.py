"""A GPU whose memory is full: the run ends in one line that says what was asked for, and which keys need less."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from stica_pv.config import CfgNode
from stica_pv.distributed import world_size
from stica_pv.errors import RunFailed

_ROOM = " is free"  # up to here torch tells what was asked for and what was there
_LONGEST = 300


@contextmanager
def fails_when_full(where: Callable[[], str], advice: str) -> Iterator[None]:
    """Raises `RunFailed` for `torch.OutOfMemoryError`, and for nothing else.

    Args:
        where: What was being done, asked for when it fails.
        advice: What needed the memory, and what to do.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        before, told, _ = " ".join(str(error).split()).partition(_ROOM)
        raise RunFailed(
            f"{where()}: the memory of the GPU is full ({before[:_LONGEST]}{told}) with {advice}"
        ) from error


def training_advice(cfg: CfgNode, batch_key: str = "TRAIN.BATCH_SIZE") -> str:
    """Says what makes a training need less memory; what is set already is left out.

    Args:
        cfg: Of the training.
        batch_key: Where its batch size was asked for.
    """
    batch, train = cfg.TRAIN.BATCH_SIZE, cfg.TRAIN
    lower = [] if train.MIXED_PRECISION else ["TRAIN.MIXED_PRECISION True"]
    if batch_key == "TRAIN.BATCH_SIZE":
        lower += [] if cfg.MODEL.ACT_CHECKPOINT else ["MODEL.ACT_CHECKPOINT True"]
        lower += [f"TRAIN.GRAD_CACHE_CHUNK below {train.GRAD_CACHE_CHUNK or batch // world_size()}"]
    lower += [f"{batch_key} below {batch}"]
    return f"{batch_key} {batch} ({batch // world_size()} on each process): set {' or '.join(lower)}"
