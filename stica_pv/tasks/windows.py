"""Sampling policies: pure functions from a duration and a generator to the windows of a video."""

from collections.abc import Mapping
from functools import partial

import torch

from stica_pv.keyed_random import uniform
from stica_pv.structures import AtEnd, Window, WindowPolicy


def one_window(name: str, seconds: float, at_end: AtEnd = "shift") -> WindowPolicy:
    """Returns the policy of STiCA: one window, its start uniform over every start that fits."""
    return partial(_draw_one, name, seconds, at_end)  # not a function within this one: workers may be spawned


def _draw_one(
    name: str, seconds: float, at_end: AtEnd, duration_s: float, rng: torch.Generator
) -> Mapping[str, Window]:
    return {name: Window(uniform(0.0, max(0.0, duration_s - seconds), rng), seconds, at_end)}
