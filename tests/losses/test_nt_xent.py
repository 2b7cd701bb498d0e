import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.losses import nt_xent_rows

T = 0.1


def unit_rows(batch: int, dim: int = 5) -> Tensor:
    rng = torch.Generator().manual_seed(3)
    return F.normalize(torch.randn(2, batch, dim, generator=rng, dtype=torch.float64), dim=-1)


def slow(views: Tensor, view: int, i: int) -> float:
    query, other = views[view][i], views[1 - view]
    bottom = sum(math.exp(float(query @ key) / T) for key in other)
    bottom += sum(math.exp(float(query @ key) / T) for j, key in enumerate(views[view]) if j != i)
    return math.log(bottom) - float(query @ other[i]) / T


def test_rows_equal_the_written_out_formula() -> None:
    views = unit_rows(6)
    rows = nt_xent_rows(views, views, temperature=T, rank_offset=0)
    assert rows.shape == (2, 6)
    for view in (0, 1):
        for i in range(6):
            assert rows[view, i].item() == pytest.approx(slow(views, view, i), rel=1e-12)


def test_sum_of_both_views_is_twice_the_log_of_the_number_of_keys_by_chance() -> None:
    views = torch.zeros(2, 7, 4, dtype=torch.float64)
    rows = nt_xent_rows(views, views, temperature=T, rank_offset=0)
    assert rows.mean(1).sum().item() == pytest.approx(2 * math.log(2 * 7 - 1))


def test_swapping_the_views_swaps_the_rows() -> None:
    views = unit_rows(4)
    rows = nt_xent_rows(views, views, temperature=T, rank_offset=0)
    swapped = views.flip(0)
    assert torch.allclose(nt_xent_rows(swapped, swapped, temperature=T, rank_offset=0), rows.flip(0))


def test_ranks_with_gathered_gradient_give_that_of_one_process() -> None:
    whole, parts = unit_rows(6).requires_grad_(), unit_rows(6).requires_grad_()
    nt_xent_rows(whole, whole, temperature=T, rank_offset=0).mean().backward()
    ranks = [nt_xent_rows(parts[:, i : i + 2], parts, temperature=T, rank_offset=i) for i in (0, 2, 4)]
    torch.stack([rows.mean() for rows in ranks]).mean().backward()
    assert torch.allclose(whole.grad, parts.grad, atol=1e-12)


def test_gradient_reaches_the_keys() -> None:
    views, keys = unit_rows(3), unit_rows(3).requires_grad_()
    nt_xent_rows(views, keys, temperature=T, rank_offset=0).sum().backward()
    assert (keys.grad.abs().sum(-1) > 0).all()
