"""The loss against a loop over pairs, and over several processes."""

import math

import pytest
import torch
from stica_pv_example.sigmoid import sigmoid_rows


def unit(count: int) -> torch.Tensor:
    rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=-1)


def test_it_equals_a_loop_over_pairs():
    queries, keys = unit(3), unit(5)
    found = sigmoid_rows(queries, keys, scale=4.0, bias=-1.0, rank_offset=2)
    for i, query in enumerate(queries):
        expected = 0.0
        for j, key in enumerate(keys):
            z = 1 if j == i + 2 else -1
            expected += math.log1p(math.exp(-z * (4.0 * float(query @ key) - 1.0)))
        assert found[i].item() == pytest.approx(expected, rel=1e-10)
