"""The displayed attention equals that of the pooling."""

import math

import pytest
import torch

from stica_pv.models import AveragePool, TransformerPool
from stica_pv.models.feature_map import time_tokens


def written_out(layer, x: torch.Tensor) -> torch.Tensor:
    """Softmax of scaled products, one number after the other, averaged over heads: (M, K, K)."""
    query, key = layer.query(x), layer.key(x)
    size = query.shape[-1] // layer.heads
    rows = torch.zeros(len(x), x.shape[1], x.shape[1])
    for m in range(len(x)):
        for h in range(layer.heads):
            part = slice(h * size, (h + 1) * size)
            for i in range(x.shape[1]):
                scores = [math.exp(float(query[m, i, part] @ one[part]) / math.sqrt(size)) for one in key[m]]
                rows[m, i] += torch.tensor(scores) / sum(scores) / layer.heads
    return rows


@torch.no_grad()
@pytest.mark.parametrize("read_out", ["first", "cls", "mean"])
def test_attention_is_the_written_out_softmax_of_every_layer(read_out: str):
    torch.manual_seed(0)
    pool = TransformerPool(8, dim=12, heads=3, read_out=read_out, positions=True, max_tokens=5)
    for parameter in pool.parameters():
        torch.nn.init.normal_(parameter, std=0.5)  # at its initial size all weights are nearly equal
    maps = torch.randn(2, 8, 10, 3, 3)
    shown = pool.time_attention(maps)
    tokens = time_tokens(maps, 5)
    x = pool.reduce(tokens) + pool.position[:5]
    if read_out == "cls":
        x = torch.cat([pool.cls.expand(2, 1, -1), x], dim=1)
    for number, layer in enumerate(pool.layers):
        weights = written_out(layer, x)
        row = {"first": weights[:, 0], "cls": weights[:, 0, 1:], "mean": weights.mean(dim=1)}[read_out]
        torch.testing.assert_close(shown[:, number], row, rtol=1e-4, atol=1e-6)
        x = layer(x)
    assert shown.shape == (2, 2, 5)
    assert float((shown.amax(-1) / shown.amin(-1)).min()) > 1.1  # there was something to see


@torch.no_grad()
def test_layer_computes_with_the_attention_that_it_shows():
    torch.manual_seed(0)
    pool = TransformerPool(8, heads=2, value_projection=True)
    layer, x = pool.layers[0], torch.randn(3, 6, 8)
    values = layer.value(x).unflatten(-1, (2, 4)).transpose(1, 2)
    attended = (layer.attention(x) @ values).transpose(1, 2).flatten(-2)
    own = layer.norm1(x + layer.output(attended))
    torch.testing.assert_close(layer.norm2(own + layer.feed_forward(own)), layer(x))


def test_showing_attention_changes_no_bit_of_the_result():
    torch.manual_seed(0)
    pool, maps = TransformerPool(8, heads=2), torch.randn(2, 8, 4, 3, 3)
    before = pool(maps)
    pool.time_attention(maps)
    assert torch.equal(pool(maps), before)  # exact: the same code with the same shapes, twice
    assert AveragePool(8).time_attention(maps) is None
