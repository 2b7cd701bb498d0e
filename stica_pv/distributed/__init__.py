"""Processes and communication between them; with one process every call is the identity."""

from stica_pv.distributed.agreement import check_agreement, fail_together, first_problem
from stica_pv.distributed.batch_norm import (
    CrossProcessBatchNorm,
    frozen_statistics,
    global_moments,
    synchronize_batch_norm,
)
from stica_pv.distributed.collectives import all_sum, gather, mean_in_order, mean_over_processes
from stica_pv.distributed.environment import (
    alone,
    barrier,
    bytes_to_main,
    connect,
    disconnect,
    from_main,
    is_main,
    largest,
    rank,
    to_main,
    world_size,
)
from stica_pv.distributed.heartbeat import HEARTBEAT
from stica_pv.distributed.sharding import divide_like, join, join_on_main, local_part, shard_parameters

__all__ = [
    "HEARTBEAT",
    "CrossProcessBatchNorm",
    "all_sum",
    "alone",
    "barrier",
    "bytes_to_main",
    "check_agreement",
    "connect",
    "disconnect",
    "divide_like",
    "fail_together",
    "first_problem",
    "from_main",
    "frozen_statistics",
    "gather",
    "global_moments",
    "is_main",
    "join",
    "join_on_main",
    "largest",
    "local_part",
    "mean_in_order",
    "mean_over_processes",
    "rank",
    "shard_parameters",
    "synchronize_batch_norm",
    "to_main",
    "world_size",
]
