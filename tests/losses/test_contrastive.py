import math

import pytest
import torch
from torch import Tensor

from stica_pv.losses import (
    ContrastTerms,
    GroupContrast,
    contrast_accuracy,
    contrast_rows,
    masked_mean,
    normalize,
)

TERMS = ContrastTerms(queries=(0, 2, 2, 1), keys=(1, 0, 1, 1), weights=(0.5, 1.0, 1.0, 0.5))
T = 0.3


def unit_rows(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(*shape, dtype=torch.float64, generator=rng))


def slow_row(queries: Tensor, keys: Tensor, i: int, label: int, t: float, negatives: list[int]) -> float:
    """-log [ exp(x_i·y_label / t) / Σ_m exp(x_i·y_m / t) ], STiCA, section 3."""
    terms = {m: math.exp(float(queries[i] @ keys[m]) / t) for m in {label, *negatives}}
    return -math.log(terms[label] / sum(terms.values()))


def slow_loss(queries: Tensor, keys: Tensor, t: float, rank_offset: int = 0) -> float:
    everything = list(range(len(keys)))
    return sum(slow_row(queries, keys, i, rank_offset + i, t, everything) for i in range(len(queries))) / len(queries)


@pytest.mark.parametrize("t", [0.07, 0.1, 0.5])
@pytest.mark.parametrize("rank_offset", [0, 4, 8])
def test_rows_equal_the_written_out_loss(t: float, rank_offset: int) -> None:
    queries, keys = unit_rows(4, 6), unit_rows(12, 6, seed=1)
    rows = contrast_rows(queries, keys, temperature=t, rank_offset=rank_offset)
    slow = [slow_row(queries, keys, i, rank_offset + i, t, list(range(12))) for i in range(4)]
    assert rows.tolist() == pytest.approx(slow, rel=1e-12)


def test_every_term_of_a_table_equals_the_written_out_loss() -> None:
    queries, keys = unit_rows(3, 4, 6), unit_rows(2, 8, 6, seed=1)
    losses = GroupContrast(TERMS, temperature=T)(queries, keys, rank_offset=4)
    pairs = zip(TERMS.queries, TERMS.keys, strict=True)
    slow = [slow_loss(queries[q], keys[k], T, rank_offset=4) for q, k in pairs]
    assert losses.tolist() == pytest.approx(slow, rel=1e-12)


@pytest.mark.parametrize(
    ("keys", "runs"),
    [
        ((0, 1, 2, 3), 1),
        ((3, 0, 3, 0, 1), 3),  # a gap, and neighbors that serve other numbers of queries
        ((2, 1, 1, 2, 4, 4, 0), 3),
        ((4, 4, 4), 1),
    ],
)
def test_terms_joined_by_their_keys_keep_their_places(keys: tuple[int, ...], runs: int) -> None:
    asking = tuple((3 * term + 1) % 5 for term in range(len(keys)))
    contrast = GroupContrast(ContrastTerms(asking, keys, (1.0,) * len(keys)), temperature=T)
    assert len(contrast.runs) == runs
    rows, others = unit_rows(5, 3, 6), unit_rows(5, 6, 6, seed=1)
    losses = contrast(rows, others, rank_offset=3)
    slow = [slow_loss(rows[q], others[k], T, rank_offset=3) for q, k in zip(asking, keys, strict=True)]
    assert losses.tolist() == pytest.approx(slow, rel=1e-12)


def test_mean_of_terms_is_weighted_and_can_be_restricted() -> None:
    contrast, losses = GroupContrast(TERMS, temperature=T), torch.tensor([1.0, 2.0, 4.0, 8.0])
    assert contrast.mean(losses).item() == pytest.approx((0.5 + 2 + 4 + 4) / 3)
    assert contrast.mean(losses, torch.tensor([True, False, True, False])).item() == pytest.approx(4.5 / 1.5)
    assert contrast.mean(losses, torch.zeros(4, dtype=torch.bool)).item() == 0


def test_mean_of_no_terms_is_zero() -> None:
    nothing = GroupContrast(ContrastTerms((), (), ()), temperature=T)
    losses = nothing(unit_rows(2, 4, 6), unit_rows(2, 4, 6), rank_offset=0)
    assert losses.shape == (0,)
    assert nothing.mean(losses).item() == 0


def test_equal_rows_give_the_logarithm_of_their_number() -> None:
    rows = unit_rows(1, 6).expand(9, -1)
    loss = contrast_rows(rows[:3], rows, temperature=0.07, rank_offset=3)
    assert torch.allclose(loss, torch.full((3,), math.log(9), dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("t", [0.1, 0.5])
def test_orthonormal_rows_give_the_closed_form(t: float) -> None:
    rows = torch.eye(7, dtype=torch.float64)
    loss = contrast_rows(rows, rows, temperature=t, rank_offset=0)
    assert torch.allclose(loss, torch.full((7,), math.log(math.exp(1 / t) + 6) - 1 / t, dtype=torch.float64))


def test_loss_does_not_depend_on_the_order_of_the_negatives() -> None:
    queries, keys = unit_rows(2, 6), unit_rows(7, 6, seed=1)
    shuffled = torch.cat([keys[:2], keys[[5, 3, 6, 2, 4]]])
    a, b = (contrast_rows(queries, k, temperature=T, rank_offset=0) for k in (keys, shuffled))
    assert torch.allclose(a, b, atol=1e-12)


def test_gradient_of_a_query_is_expected_key_minus_own_key_over_t() -> None:
    queries, keys = unit_rows(4, 6).requires_grad_(), unit_rows(8, 6, seed=1)
    contrast_rows(queries, keys, temperature=T, rank_offset=4).mean().backward()
    shares = (queries.detach() @ keys.mT / T).softmax(-1)
    assert torch.allclose(queries.grad, (shares @ keys - keys[4:]) / (4 * T), atol=1e-12)


def test_detached_keys_leave_the_gradient_to_the_query_alone() -> None:
    rows = unit_rows(2, 4, 6).requires_grad_()
    terms = ContrastTerms((0,), (1,), (1.0,))
    contrast = GroupContrast(terms, temperature=T)
    contrast.mean(contrast(rows, rows.detach(), rank_offset=0)).backward()
    assert rows.grad[0].abs().min() > 0
    assert not rows.grad[1].any()


VALID = {
    "some": [True, False, True, True, False, True],
    "all": [True] * 6,
    "one": [False] * 5 + [True],
    "none": [False] * 6,
}


@pytest.mark.parametrize("name", ["some", "all", "one"])
def test_masked_loss_equals_the_loss_of_the_clips_with_audio(name: str) -> None:
    valid = torch.tensor(VALID[name])
    queries, keys = unit_rows(2, 6, 5).requires_grad_(), unit_rows(2, 6, 5, seed=1)
    rows = contrast_rows(queries, keys, temperature=T, rank_offset=0, key_valid=valid)
    loss = masked_mean(rows, valid, valid)
    chosen = valid.nonzero().flatten()
    slow = [slow_loss(queries[g, chosen].detach(), keys[g, chosen], T) for g in range(2)]
    assert loss.item() == pytest.approx(sum(slow) / 2, rel=1e-12)
    loss.backward()
    assert torch.isfinite(queries.grad).all()
    assert not queries.grad[:, ~valid].any()
    if name != "one":  # a single clip has no negatives: its loss is 0 and flat
        assert queries.grad[:, valid].any(-1).all()


def test_loss_without_any_audio_is_zero_with_zero_gradient() -> None:
    valid = torch.tensor(VALID["none"])
    queries, keys = unit_rows(6, 5).float().requires_grad_(), unit_rows(6, 5, seed=1).float()
    loss = masked_mean(contrast_rows(queries, keys, temperature=0.01, rank_offset=0, key_valid=valid), valid, valid)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(queries.grad, torch.zeros_like(queries))


def test_a_broken_row_without_audio_does_not_reach_the_loss() -> None:
    rows = torch.tensor([1.0, torch.inf, 3.0], requires_grad=True)
    valid = torch.tensor([True, False, True])
    loss = masked_mean(rows, valid, valid)
    loss.backward()
    assert loss.item() == 2
    assert rows.grad.tolist() == [0.5, 0, 0.5]


@pytest.mark.parametrize("name", list(VALID))
@pytest.mark.parametrize("processes", [2, 3])
def test_average_over_virtual_processes_equals_one_process(name: str, processes: int) -> None:
    valid, share = torch.tensor(VALID[name]), 6 // processes
    whole, keys = unit_rows(6, 5).requires_grad_(), unit_rows(6, 5, seed=1)
    parts = whole.detach().clone().requires_grad_()
    losses = []
    for first in range(0, 6, share):
        here = slice(first, first + share)
        rows = contrast_rows(parts[here], keys, temperature=T, rank_offset=first, key_valid=valid)
        losses.append(masked_mean(rows, valid[here], valid))
    split = torch.stack(losses).mean()
    one = masked_mean(contrast_rows(whole, keys, temperature=T, rank_offset=0, key_valid=valid), valid, valid)
    assert split.item() == pytest.approx(one.item(), rel=1e-12)
    split.backward()
    one.backward()
    assert torch.allclose(whole.grad, parts.grad, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_change_losses_or_accuracy(dtype: torch.dtype) -> None:
    queries, keys = unit_rows(2, 4, 32).float(), unit_rows(2, 8, 32, seed=1).float()
    valid = torch.tensor([True, True, False, True, True, False, True, True])
    contrast = GroupContrast(ContrastTerms((0, 1), (1, 0), (1.0, 1.0)), temperature=0.07)

    def results() -> list[Tensor]:
        rows = contrast_rows(queries, keys, temperature=0.07, rank_offset=4, key_valid=valid)
        accuracy = contrast_accuracy(queries, keys, valid[4:], valid, rank_offset=4)
        return [rows, contrast(queries, keys, rank_offset=4), accuracy, normalize(queries * 3)]

    plain = results()
    with torch.autocast("cpu", dtype):
        cast = results()
    # exact: the same code with the same shapes, twice
    assert all(a.dtype == b.dtype == torch.float32 and torch.equal(a, b) for a, b in zip(plain, cast, strict=True))


def test_half_precision_rows_are_normalised_in_fp32() -> None:
    rows = normalize(torch.randn(5, 64).bfloat16())
    assert rows.dtype == torch.float32
    assert torch.allclose(rows.norm(dim=-1), torch.ones(5), atol=1e-6)
    assert not normalize(torch.zeros(2, 4)).any()


def test_accuracy_is_the_share_of_valid_queries_whose_own_key_is_nearest() -> None:
    keys = torch.eye(4, dtype=torch.float64)
    queries = keys[[0, 2, 2, 0]]  # right, wrong, right, wrong
    everything = torch.ones(4, dtype=torch.bool)
    assert contrast_accuracy(queries, keys, everything, everything, rank_offset=0).item() == 0.5
    valid = torch.tensor([True, False, True, True])
    assert contrast_accuracy(queries, keys, valid, valid, rank_offset=0).item() == pytest.approx(2 / 3)
    nothing = torch.zeros(4, dtype=torch.bool)
    assert contrast_accuracy(queries, keys, nothing, nothing, rank_offset=0).item() == 0


def test_accuracy_ignores_keys_without_audio() -> None:
    keys = normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0]]))
    queries, valid = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.tensor([True, False, True])
    assert contrast_accuracy(queries, keys, valid, valid, rank_offset=0).item() == 1


def test_table_of_unequal_columns_is_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        ContrastTerms((0, 1), (1,), (1.0, 1.0))
