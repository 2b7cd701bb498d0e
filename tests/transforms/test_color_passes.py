"""Joined passes give the colors of the steps one by one, and there are as few as the clipping allows."""

from itertools import permutations

import pytest
import torch
from torch import Tensor

from stica_pv.transforms import ColorSettings
from stica_pv.transforms.color_params import BRIGHTNESS, CONTRAST
from stica_pv.transforms.color_passes import color_passes

ORDERS = list(permutations(range(3)))


def frames() -> Tensor:
    """(3, H, t, W) on [0, 1]."""
    return torch.rand(3, 6, 2, 5, generator=torch.Generator().manual_seed(0))


def joined(x: Tensor, order: list[int], factors: list[float], *, gray: bool, settings: ColorSettings) -> Tensor:
    for colors in color_passes(order, factors, gray=gray, scale=1.0, settings=settings):
        out = torch.empty(colors.channels, *x.shape[1:])
        colors.write(x.contiguous(), colors.offsets(x), scratch=torch.empty(3, *x.shape[1:]), into=out)
        x = out
    return x


def one_by_one(x: Tensor, order: list[int], factors: list[float], *, gray: bool, settings: ColorSettings) -> Tensor:
    """Each step by itself in double precision."""
    released = settings.style == "released"
    mean, std = (torch.tensor(values).double().view(3, 1, 1, 1) for values in (settings.mean, settings.std))
    weights = torch.tensor(settings.gray_weights).double().view(3, 1, 1, 1)
    x = (x.double() - mean) / std if released else x.double()
    for step in order:
        mixed = (x * weights).sum(0, keepdim=True)
        base = {BRIGHTNESS: torch.zeros(()).double(), CONTRAST: mixed.mean((1, 3), keepdim=True)}.get(step, mixed)
        x = factors[step] * x + (1 - factors[step]) * base
        x = x if released else x.clamp(0, 1)
    if gray:
        x = (x * weights).sum(0, keepdim=True).expand(3, -1, -1, -1)
    return x if released else (x - mean) / std


@pytest.mark.parametrize("std", [(0.2, 0.2, 0.2), (0.2, 0.25, 0.3)])
@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("style", ["intended", "released"])
@pytest.mark.parametrize("order", ORDERS)
def test_joined_steps_equal_the_steps_one_by_one(order, style, gray, std):
    settings = ColorSettings(style=style, mean=(0.4, 0.45, 0.5), std=std)
    for factors in ([1.3, 1.4, 1.2], [0.7, 0.6, 0.8], [1.3, 0.7, 0.6], [0.8, 1.3, 1.4], [1.0, 0.7, 1.0]):
        found = joined(frames(), order, factors, gray=gray, settings=settings)
        expected = one_by_one(frames(), order, factors, gray=gray, settings=settings)
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("factors", "gray", "count"),
    [
        ([1.0, 1.0, 1.0], False, 1),
        ([0.9, 0.8, 0.7], False, 1),  # nothing can leave [0, 1]
        ([0.9, 1.2, 0.7], False, 2),
        ([1.2, 1.2, 1.2], False, 4),
        ([1.2, 1.2, 1.2], True, 5),
    ],
)
def test_pixels_are_passed_only_where_a_step_clips_or_turns_gray(factors, gray, count):
    passes = color_passes([0, 1, 2], factors, gray=gray, scale=1 / 255, settings=ColorSettings())
    assert len(passes) == count
    assert [one.clips for one in passes].count(True) == sum(factor > 1 for factor in factors)
    released = ColorSettings(style="released")
    assert len(color_passes([0, 1, 2], factors, gray=gray, scale=1 / 255, settings=released)) == 1 + gray
