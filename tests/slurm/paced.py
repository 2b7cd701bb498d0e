"""Named by CUSTOM_IMPORTS in a job: makes a step last at least PACED_SECONDS, and fail where PACED_FAILURE says."""

import os
import time

import torch.distributed as dist

from stica_pv.distributed import rank
from stica_pv.engine import loop

SECONDS = float(os.environ.get("PACED_SECONDS", "0"))
FAILURE = os.environ.get("PACED_FAILURE", "")  # "<rank> <step>"

_train_step = loop.train_step


def _paced(state, *rest):
    time.sleep(SECONDS)
    if FAILURE and [rank(), state.step] == [int(argument) for argument in FAILURE.split()]:
        raise RuntimeError(f"the device of process {dist.get_rank()} is out of order")
    return _train_step(state, *rest)


loop.train_step = _paced
