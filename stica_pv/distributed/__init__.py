"""Processes and what they exchange; with one process every call is the identity."""

from stica_pv.distributed.batch_norm import (
    CrossProcessBatchNorm,
    frozen_statistics,
    global_moments,
    synchronise_batch_norm,
)
from stica_pv.distributed.collectives import all_sum, gather, mean_over_processes
from stica_pv.distributed.environment import barrier, from_main, is_main, rank, world_size

__all__ = [
    "CrossProcessBatchNorm",
    "all_sum",
    "barrier",
    "from_main",
    "frozen_statistics",
    "gather",
    "global_moments",
    "is_main",
    "mean_over_processes",
    "rank",
    "synchronise_batch_norm",
    "world_size",
]
