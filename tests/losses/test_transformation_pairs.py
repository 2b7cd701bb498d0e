import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.losses import TransformationPair, TransformationPairContrast

T = 0.07
TERMS = (
    TransformationPair(query=0, positive=0, near=(1, 1), far=(1, 1), weight=0.5),
    TransformationPair(query=1, positive=0, near=(1, 0), far=(2, 1), weight=0.25),
    TransformationPair(query=0, positive=1, near=(0, 1), far=(0, 3), weight=0.25),
)


def rows(batch: int, versions: int = 2, dim: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return tuple(
        F.normalize(torch.randn(versions, batch, dim, generator=rng, dtype=torch.float64), dim=-1) for _ in range(2)
    )


def slow(
    local: tuple[Tensor, Tensor], gathered: tuple[Tensor, Tensor], terms, near_rows, rank_offset: int, valid=None
) -> float:
    """Each query by itself, its keys listed one by one."""
    keys_count = gathered[0].shape[1]
    valid = valid or [True] * keys_count
    total = 0.0
    for term in terms:
        losses = []
        for modality in (0, 1):
            queries, keys = local[modality][term.query], gathered[1 - modality]
            for i, query in enumerate(queries):
                own = rank_offset + i
                if not valid[own]:
                    continue
                weights: dict[tuple[int, int], int] = {}
                for version in range(len(keys)):
                    for n in range(keys_count):
                        counts = term.near if n in near_rows(own) else term.far
                        weights[version, n] = counts[version] * valid[n]
                bottom = sum(w * math.exp(float(query @ keys[v, n]) / T) for (v, n), w in weights.items())
                losses.append(math.log(bottom) - float(query @ keys[term.positive, own]) / T)
        total += term.weight * sum(losses) / len(losses)
    return total / sum(term.weight for term in terms)


def test_loss_equals_the_written_out_one() -> None:
    x = rows(5)
    everyone = torch.ones(5, dtype=torch.bool)
    ours = TransformationPairContrast(TERMS, temperature=T)(x, x, everyone, everyone, rank_offset=0)
    assert ours.item() == pytest.approx(slow(x, x, TERMS, lambda own: (own,), 0), rel=1e-6)


def test_released_near_keys_are_the_samples_of_the_process() -> None:
    gathered = rows(6)
    local = tuple(x[:, 2:4] for x in gathered)
    ours = TransformationPairContrast(TERMS, temperature=T, near="process")(
        local, gathered, torch.ones(2, dtype=torch.bool), torch.ones(6, dtype=torch.bool), rank_offset=2
    )
    written = slow(local, gathered, TERMS, lambda own: (2, 3), 2)
    # The mean over a part of the rows, weighted as one of three processes.
    assert ours.item() == pytest.approx(written, rel=1e-6)


def test_samples_without_audio_are_neither_queries_nor_keys() -> None:
    x, valid = rows(5), torch.tensor([True, False, True, True, False])
    ours = TransformationPairContrast(TERMS, temperature=T)(x, x, valid, valid, rank_offset=0)
    assert ours.item() == pytest.approx(slow(x, x, TERMS, lambda own: (own,), 0, valid.tolist()), rel=1e-6)


def test_virtual_ranks_average_to_one_process() -> None:
    x, valid = rows(6), torch.tensor([True, False, True, True, False, True])
    contrast = TransformationPairContrast(TERMS, temperature=T)
    one = contrast(x, x, valid, valid, rank_offset=0)
    several = [
        contrast(tuple(part[:, i : i + 2] for part in x), x, valid[i : i + 2], valid, rank_offset=i) for i in (0, 2, 4)
    ]
    assert torch.stack(several).mean().item() == pytest.approx(one.item(), rel=1e-12)


def test_random_rows_of_many_dimensions_give_the_log_of_the_number_of_keys() -> None:
    x = tuple(0 * part for part in rows(8))  # all similarities equal
    everyone = torch.ones(8, dtype=torch.bool)
    term = TransformationPair(query=0, positive=0, near=(1, 1), far=(1, 1), weight=1.0)
    ours = TransformationPairContrast((term,), temperature=T)(x, x, everyone, everyone, rank_offset=0)
    assert ours.item() == pytest.approx(math.log(16), rel=1e-6)


def test_gradient_stays_finite_without_far_keys() -> None:
    x = tuple(part.clone().requires_grad_() for part in rows(1))
    one = torch.ones(1, dtype=torch.bool)
    TransformationPairContrast(TERMS, temperature=T)(x, x, one, one, rank_offset=0).backward()
    assert all(torch.isfinite(part.grad).all() for part in x)


def test_loss_is_computed_in_full_precision_under_autocast() -> None:
    x = tuple(part.float() for part in rows(4))
    everyone = torch.ones(4, dtype=torch.bool)
    contrast = TransformationPairContrast(TERMS, temperature=T)
    plain = contrast(x, x, everyone, everyone, rank_offset=0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        # exact: the same code with the same shapes, twice
        assert torch.equal(contrast(x, x, everyone, everyone, rank_offset=0), plain)


def test_a_term_whose_positive_is_not_among_the_near_keys_is_refused() -> None:
    with pytest.raises(ValueError, match="near must count the positive once"):
        TransformationPair(query=0, positive=1, near=(1, 0), far=(1, 1), weight=1.0)


def test_gradient_of_a_query_is_expected_key_minus_own_key_over_t() -> None:
    x, everyone = rows(3), torch.ones(3, dtype=torch.bool)
    local = tuple(part.clone().requires_grad_() for part in x)
    term = TransformationPair(query=1, positive=0, near=(1, 0), far=(2, 1), weight=1.0)
    TransformationPairContrast((term,), temperature=T)(local, x, everyone, everyone, rank_offset=0).backward()
    audios, i = x[1], 2
    counts = torch.tensor([[2.0, 2.0, 1.0], [1.0, 1.0, 0.0]], dtype=torch.float64)  # of audio v of sample n
    shares = counts * (audios @ x[0][1, i] / T).exp()
    expected = (shares / shares.sum()).unsqueeze(-1).mul(audios).sum((0, 1)) - audios[0, i]
    assert torch.allclose(local[0].grad[1, i], expected / T / 6, rtol=1e-6)  # mean over 3 samples and 2 directions
    assert not local[0].grad[0].any()  # not a query, and keys get no gradient
