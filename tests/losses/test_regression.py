import math

import pytest
import torch

from stica_pv.losses import regression_rows


def slow_rows(predictions: torch.Tensor, targets: torch.Tensor) -> list[float]:
    rows = []
    for x, y in zip(predictions.tolist(), targets.tolist(), strict=True):
        length_x = max(math.sqrt(sum(a * a for a in x)), 1e-5)
        length_y = max(math.sqrt(sum(b * b for b in y)), 1e-5)
        rows.append(0.5 * sum((a / length_x - b / length_y) ** 2 for a, b in zip(x, y, strict=True)))
    return rows


def test_rows_equal_the_slow_loop_and_one_minus_the_cosine() -> None:
    x, y = torch.randn(2, 7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = regression_rows(x, y)
    assert rows.tolist() == pytest.approx(slow_rows(x, y))
    assert torch.allclose(rows, 1 - torch.cosine_similarity(x, y))


def test_equal_directions_give_0_opposite_ones_2_and_one_zero_a_half() -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    assert regression_rows(x, 3 * x).abs().max() < 1e-6
    assert torch.allclose(regression_rows(x, -x), torch.full((4,), 2.0))
    assert torch.allclose(regression_rows(torch.zeros(4, 6), x), torch.full((4,), 0.5))
    assert torch.allclose(regression_rows(x, torch.zeros(4, 6)), torch.full((4,), 0.5))


def test_chance_is_1() -> None:
    x, y = torch.randn(2, 4000, 64, generator=torch.Generator().manual_seed(2))
    assert regression_rows(x, y).mean().item() == pytest.approx(1.0, abs=0.01)


def test_targets_get_no_gradient_and_a_zero_row_a_finite_one() -> None:
    x, y = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    regression_rows(x, y).sum().backward()
    assert y.grad is None
    assert x.grad is not None
    assert (x.grad.abs().sum(1) > 0).all()
    zero = torch.zeros(3, 4, requires_grad=True)
    regression_rows(zero, y).sum().backward()
    assert zero.grad is not None
    assert torch.isfinite(zero.grad).all()


def test_values_are_those_of_fp32_under_autocast() -> None:
    x, y = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows = regression_rows(x, y)
    assert rows.dtype == torch.float32
    assert torch.equal(rows, regression_rows(x, y))  # exact: the same code with the same shapes, twice


def test_only_norms_below_a_hundred_thousandth_are_raised_to_it() -> None:
    unit = torch.tensor([[1.0, 0.0]])
    assert regression_rows(1e-4 * unit, unit).item() == pytest.approx(0.0, abs=1e-6)
    assert regression_rows(1e-6 * unit, unit).item() == pytest.approx(0.5 * (1 - 0.1) ** 2)
