"""Sampling policies: pure functions from a duration and a generator to the windows of a video."""

from collections.abc import Mapping

import torch

from stica_pv.keyed_random import uniform
from stica_pv.structures import AtEnd, Window, WindowPolicy


def one_window(name: str, seconds: float, at_end: AtEnd = "shift") -> WindowPolicy:
    """Returns the policy of STiCA: one window, its start uniform over every start that fits."""

    def draw(duration_s: float, rng: torch.Generator) -> Mapping[str, Window]:
        return {name: Window(uniform(0.0, max(0.0, duration_s - seconds), rng), seconds, at_end)}

    return draw
