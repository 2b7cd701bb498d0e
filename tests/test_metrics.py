"""The collapse monitors have the known values where those are known, and agree with their definitions elsewhere."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.metrics import effective_rank, lidar, misalignment, rankme, spread, uniformity


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


def entropy_rank(spectrum: list[float]) -> float:
    """The exponential of the entropy of shares p = value / sum + 1e-7, one value at a time."""
    shares = [value / sum(spectrum) + 1e-7 for value in spectrum]
    return math.exp(-sum(share * math.log(share) for share in shares))


@pytest.mark.parametrize("count", [6, 40])
def test_rankme_is_the_entropy_of_the_singular_values(count: int):
    rows = 3 + random_rows(count, 12) * torch.arange(1.0, 13)
    expected = entropy_rank(torch.linalg.svdvals(rows).tolist())
    assert float(rankme(rows)) == pytest.approx(expected, rel=1e-5)
    assert float(rankme(7 * rows.float())) == pytest.approx(expected, rel=1e-4)  # the scale does not matter


@pytest.mark.parametrize(("items", "views", "dim"), [(30, 2, 6), (5, 3, 8)])
def test_lidar_equals_the_written_out_discriminant_analysis(items: int, views: int, dim: int):
    rows = random_rows(items * views, dim).view(items, views, dim) + 2 * random_rows(items, dim).unsqueeze(1)
    means = [sum(item) / views for item in rows]
    mean = sum(means) / items  # type: ignore[arg-type]
    between, within = torch.zeros(dim, dim, dtype=torch.float64), torch.zeros(dim, dim, dtype=torch.float64)
    for item, own in zip(rows, means, strict=True):
        between += torch.outer(own - mean, own - mean) / (items - 1)
        for view in item:
            within += torch.outer(view - own, view - own) / (items * (views - 1))
    values, vectors = torch.linalg.eigh(within + 1e-4 * torch.eye(dim))
    root = vectors @ torch.diag(values**-0.5) @ vectors.mT
    expected = entropy_rank([max(0.0, value) for value in torch.linalg.eigvalsh(root @ between @ root).tolist()])
    assert float(lidar(rows)) == pytest.approx(expected, rel=1e-5)


def test_lidar_counts_only_directions_that_distinguish_items():
    rng = torch.Generator().manual_seed(0)
    views = torch.zeros(400, 4, 10, dtype=torch.float64)
    views[..., :3] = torch.randn(400, 1, 3, generator=rng, dtype=torch.float64)  # of the item
    views[..., 3:] = 0.3 * torch.randn(400, 4, 7, generator=rng, dtype=torch.float64)  # of the view
    views[..., :3] += 0.01 * torch.randn(400, 4, 3, generator=rng, dtype=torch.float64)
    assert float(lidar(views)) == pytest.approx(3, abs=0.1)
    assert float(rankme(views.flatten(0, 1))) > 5


def test_collapse_has_rank_one_by_rankme_and_lidar():
    rows = random_rows(1, 16).expand(8, -1)
    assert float(rankme(rows)) == pytest.approx(1, abs=1e-3)
    assert float(lidar(torch.zeros(4, 2, 3))) == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="two views of at least two items"):
        lidar(torch.zeros(4, 1, 3))
