"""Measured peak rates of the device: arithmetic by a large matrix product, memory by a copy."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from stica_pv.commands.benchmarks.timing import clock_of

TRIES = 5


@dataclass(frozen=True)
class Peaks:
    """Best rates of several tries.

    Attributes:
        flops: Floating-point operations a second, of a matrix product.
        bytes: Bytes read and written a second, of a copy.
    """

    flops: float
    bytes: float


def measure_peaks(device: torch.device, dtype: torch.dtype = torch.float32, side: int = 0) -> Peaks:
    """Measures both; `side` is that of the matrices (0: 1024 on the CPU, 8192 on a GPU)."""
    side = side or (8192 if device.type == "cuda" else 1024)
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.empty(max(2**20, 16 * side * side), dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    product = _least_seconds(lambda: a @ b, device)
    copy = _least_seconds(lambda: target.copy_(source), device)
    return Peaks(2 * side**3 / product, 2 * source.numel() / copy)


def _least_seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    clock, taken = clock_of(device), []
    for _ in range(TRIES + 1):
        begin = clock()
        work()
        taken.append(clock() - begin)
    return max(1e-9, min(taken[1:]))


def flops_of(work: Callable[[], object]) -> int:
    """Returns the floating-point operations of convolutions and matrix products of some work."""
    with FlopCounterMode(display=False) as counted:
        work()
    return int(counted.get_total_flops())
