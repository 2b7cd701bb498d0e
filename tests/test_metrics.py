"""The collapse monitors have the known values where those are known, and agree with their definitions elsewhere."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.metrics import effective_rank, misalignment, spread, uniformity


def random_rows(count: int, dim: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return F.normalize(torch.randn(count, dim, generator=rng, dtype=torch.float64), dim=-1)


def test_equal_rows_are_collapsed_by_every_monitor():
    rows = random_rows(1, 16).expand(8, -1)
    assert float(spread(rows)) == pytest.approx(0)
    assert float(uniformity(rows)) == pytest.approx(0)
    assert float(effective_rank(rows)) == pytest.approx(0, abs=1e-6)


def test_spread_is_the_mean_standard_deviation():
    rows = torch.randn(40, 7, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 8)
    assert float(spread(rows)) == pytest.approx(float(rows.double().std(dim=0, correction=0).mean() * 7**0.5))


def test_random_rows_are_spread_over_the_sphere():
    rows = random_rows(4000, 32)
    assert float(spread(rows)) == pytest.approx(1, abs=0.02)
    assert float(effective_rank(rows)) == pytest.approx(32, rel=0.05)


@pytest.mark.parametrize("count", [6, 40])
def test_effective_rank_counts_the_directions_in_use(count: int):
    rows = torch.zeros(count, 12, dtype=torch.float64)
    rows[:, :3] = random_rows(count, 3)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(rows.mT))
    expected = eigenvalues.sum() ** 2 / eigenvalues.square().sum()
    assert float(effective_rank(rows)) == pytest.approx(float(expected))
    assert float(effective_rank(rows)) <= 3 + 1e-9


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_monitors_are_in_full_precision_whatever_the_networks_ran_in(dtype: torch.dtype):
    rows = random_rows(24, 16).float()
    collapsed = rows[:1].expand(24, -1)
    half = rows.to(dtype)
    expected = effective_rank(half.float()), uniformity(half.float())
    with torch.autocast("cpu", dtype):
        found = effective_rank(half), uniformity(half)
        assert float(effective_rank(collapsed.to(dtype))) == pytest.approx(0, abs=1e-6)
        cast = effective_rank(rows), uniformity(rows)
    assert found == expected
    assert cast == (effective_rank(rows), uniformity(rows))
    assert float(effective_rank(collapsed.to(dtype))) == pytest.approx(0, abs=1e-6)


def test_uniformity_equals_the_loop_over_pairs():
    rows = random_rows(7, 5)
    pairs = [math.exp(-2 * float((rows[i] - rows[j]).square().sum())) for i in range(7) for j in range(7) if i != j]
    assert float(uniformity(rows)) == pytest.approx(math.log(sum(pairs) / len(pairs)))


def test_partners_that_are_equal_are_aligned_and_opposite_ones_are_four_apart():
    rows = random_rows(5, 8)
    assert misalignment(rows, rows).abs().max() == 0
    assert misalignment(rows, -rows).tolist() == pytest.approx([4.0] * 5)
