"""Clocks, and alternate measurements, so that other load affects every candidate equally."""

import time
from collections.abc import Callable, Mapping

import torch

Work = Callable[[], object]
Clock = Callable[[], float]


def clock_of(device: torch.device) -> Clock:
    """Returns a clock in seconds: of the processor on the CPU, of the wall and after all kernels on a GPU."""
    if device.type == "cpu":
        return time.process_time

    def after_all_kernels() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return after_all_kernels


def alternate(
    works: Mapping[str, Work], repeats: int, clock: Clock = time.perf_counter, warm_up: int = 1
) -> dict[str, list[float]]:
    """Runs each work once in every round, in an order that turns round from one round to the next.

    Args:
        works: Functions to time, by name.
        repeats: Rounds that count.
        clock: Seconds from any beginning.
        warm_up: Rounds before, which do not count.

    Returns:
        Seconds of each work, one value a round.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(-warm_up, repeats):
        for name in list(works)[:: 1 if turn % 2 == 0 else -1]:
            begin = clock()
            works[name]()
            seconds = clock() - begin
            if turn >= 0:
                taken[name].append(seconds)
    return taken


def in_ms(seconds: list[float], times: float = 1.0) -> list[float]:
    """Seconds to milliseconds, each counted so many times."""
    return [1000 * times * value for value in seconds]
