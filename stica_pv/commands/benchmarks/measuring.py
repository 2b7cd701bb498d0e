"""Timed costs: processor seconds of forward passes and training steps on the CPU."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from stica_pv.commands.benchmarks.counting import sum_of_squares
from stica_pv.commands.benchmarks.heads import Heads, plan_for
from stica_pv.models import Trunk, measure_pathways

BATCH = 2


@dataclass(frozen=True)
class Timings:
    """Processor seconds for a batch of two clips, in one thread; less sensitive to other load than wall time.

    Attributes:
        forward: Forward pass of the trunk, without gradient.
        step: Forward and backward pass of the trunk.
        heads_forward: Forward pass of crops and heads on the maps of one view.
        heads_step: Forward and backward pass of crops and heads.
    """

    forward: float
    step: float
    heads_forward: float
    heads_step: float


def time_trunk(trunk: Trunk, *, frames: int, size: int, repeats: int) -> Timings:
    """Times a trunk and the heads on it."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    sizes = measure_pathways(trunk, frames=frames, size=size)
    heads, plan = Heads(trunk.out_channels).train(), plan_for(sizes)
    video = torch.randn(BATCH, 3, frames, size, size)
    maps = [torch.randn(BATCH, *one) for one in sizes]

    def forward() -> None:
        with torch.no_grad():
            trunk(video)

    def step() -> None:
        trunk.zero_grad(set_to_none=True)
        sum_of_squares(trunk(video)).backward()

    def heads_forward() -> None:
        with torch.no_grad():
            heads(maps, plan)

    def heads_step() -> None:
        heads.zero_grad(set_to_none=True)
        sum_of_squares(heads([one.detach().requires_grad_() for one in maps], plan)).backward()

    trunk.eval()
    of_forward = seconds(forward, repeats)
    trunk.train()
    return Timings(of_forward, *(seconds(work, repeats) for work in (step, heads_forward, heads_step)))


def seconds(work: Callable[[], None], repeats: int) -> float:
    """Returns the median processor time of `repeats` runs after a first one."""
    work()
    taken = []
    for _ in range(repeats):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return statistics.median(taken)
