import math

import stica_pv.compat  # noqa: F401 - repairs what pytorchvideo needs of torchvision

import pytest
import torch
from pytorchvideo.models.net import Net
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.models import (
    AveragePool,
    FeatureCrop,
    Pooling,
    TransformerPool,
    create_average_pool,
    create_r2plus1d_10,
    create_transformer_pool,
    plan_crops,
    whole_map,
)
from stica_pv.models.pooling import TransformerLayer
from stica_pv.registry import POOLINGS

DIM = 8


def scrambled(pool: TransformerPool, seed: int = 0) -> TransformerPool:
    """Moves every parameter away from its start, so that none can hide behind a 0 or 1."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in pool.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng) * 0.5 + 0.3)
    return pool.double()


def slow_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    centered = x - sum(x) / len(x)
    return centered / torch.sqrt(sum(centered**2) / len(x) + 1e-12) * norm.weight + norm.bias


def slow_gelu(x: Tensor) -> Tensor:
    return torch.stack([0.5 * v * (1 + math.erf(float(v) / math.sqrt(2))) for v in x])


def slow_layer(layer: TransformerLayer, tokens: list[Tensor], heads: int) -> list[Tensor]:
    """One layer on the tokens of one clip, written out."""
    width = len(tokens[0]) // heads
    query = [layer.query.weight @ x + layer.query.bias for x in tokens]
    key = [layer.key.weight @ x + layer.key.bias for x in tokens]
    value = tokens
    if isinstance(layer.value, nn.Linear):
        value = [layer.value.weight @ x + layer.value.bias for x in tokens]
    result = []
    for i, x in enumerate(tokens):
        parts = []
        for head in range(heads):
            part = slice(head * width, (head + 1) * width)
            scores = [math.exp(float(query[i][part] @ k[part]) / math.sqrt(width)) for k in key]
            parts.append(sum(score / sum(scores) * v[part] for score, v in zip(scores, value, strict=True)))
        attended = torch.cat(parts)
        if isinstance(layer.output, nn.Linear):
            attended = layer.output.weight @ attended + layer.output.bias
        x = slow_norm(x + attended, layer.norm1)
        first, _, second = layer.feed_forward
        forward = second.weight @ slow_gelu(first.weight @ x + first.bias) + second.bias
        result.append(slow_norm(x + forward, layer.norm2))
    return result


@pytest.mark.parametrize("value_projection", [False, True])
@pytest.mark.parametrize("heads", [1, 4])
def test_layer_equals_the_written_out_one(heads: int, value_projection: bool) -> None:
    pool = scrambled(TransformerPool(DIM, layers=1, heads=heads, value_projection=value_projection))
    tokens = torch.randn(3, 5, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = pool.layers[0](tokens)
        slow = torch.stack([torch.stack(slow_layer(pool.layers[0], list(clip), heads)) for clip in tokens])
    assert torch.allclose(ours, slow, rtol=0, atol=1e-12)


@pytest.mark.parametrize("read_out", ["first", "cls", "mean"])
@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("in_channels", [DIM, DIM + 3])
def test_head_equals_the_written_out_one(read_out, positions: bool, in_channels: int) -> None:
    pool = scrambled(TransformerPool(in_channels, dim=DIM, layers=2, read_out=read_out, positions=positions))
    tokens = torch.randn(2, 3, in_channels, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for clip, ours in zip(tokens, pool.pool_tokens(tokens), strict=True):
            x = list(clip)
            if in_channels != DIM:
                x = [pool.reduce.weight @ token + pool.reduce.bias for token in x]
            if positions:
                x = [token + position for token, position in zip(x, pool.position, strict=False)]
            if read_out == "cls":
                x = [pool.cls[0], *x]
            for layer in pool.layers:
                x = slow_layer(layer, x, heads=4)
            slow = sum(x) / len(x) if read_out == "mean" else x[0]
            assert torch.allclose(ours, slow, rtol=0, atol=1e-11)


def test_positions_start_with_the_deviation_asked_for_and_nothing_else_changes() -> None:
    pools = []
    for std in (0.02, 1.0):
        torch.manual_seed(0)
        pools.append(TransformerPool(64, positions=True, position_std=std))
    small, large = pools
    assert large.position.std().item() == pytest.approx(1.0, rel=0.05)  # of 64 × 64 values
    torch.testing.assert_close(large.position, small.position * 50)
    # exact: the same draws of one generator
    assert torch.equal(large.layers[1].key.weight, small.layers[1].key.weight)


def test_order_of_the_tokens_behind_the_first_does_not_matter_without_positions() -> None:
    pool, with_positions = (scrambled(TransformerPool(DIM, positions=positions)) for positions in (False, True))
    tokens = torch.randn(2, 6, DIM, dtype=torch.float64)
    behind, all_of_it = tokens[:, [0, 3, 5, 1, 4, 2]], tokens[:, [1, 0, 2, 3, 4, 5]]
    assert torch.allclose(pool.pool_tokens(tokens), pool.pool_tokens(behind), atol=1e-12)
    assert not torch.allclose(pool.pool_tokens(tokens), pool.pool_tokens(all_of_it), atol=1e-3)
    assert not torch.allclose(with_positions.pool_tokens(tokens), with_positions.pool_tokens(behind), atol=1e-3)


@pytest.mark.parametrize("read_out", ["cls", "mean"])
def test_order_of_no_token_matters_for_the_other_read_outs(read_out) -> None:
    pool = scrambled(TransformerPool(DIM, read_out=read_out))
    tokens = torch.randn(2, 6, DIM, dtype=torch.float64)
    assert torch.allclose(pool.pool_tokens(tokens), pool.pool_tokens(tokens.flip(1)), atol=1e-12)


POOLS = [
    AveragePool(DIM),
    scrambled(TransformerPool(DIM)),
    scrambled(TransformerPool(DIM, max_tokens=3)),
    scrambled(TransformerPool(DIM, dim=4, read_out="cls", positions=True)),
]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 7, 7), (5, 2, 3)])
@pytest.mark.parametrize("batch", [1, 3])
def test_pooling_a_map_equals_pooling_the_tokens_of_its_whole_window(pool: Pooling, shape, batch: int) -> None:
    feature_map = torch.randn(batch, DIM, *shape, dtype=torch.float64)
    plan = plan_crops(whole_map(shape), shape, pool.num_tokens(shape[0]))
    pooled = pool.eval()(feature_map)
    assert pooled.shape == (batch, pool.out_dim)
    tokens = FeatureCrop()(feature_map, plan)
    assert tokens.shape == (1, batch, pool.num_tokens(shape[0]), DIM)
    assert torch.allclose(pool.pool_tokens(tokens)[0], pooled, atol=1e-6)  # the plan's weights are fp32


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("pool", POOLS)
def test_pooling_can_be_traced_as_a_dry_run_does_to_count_its_work(pool: Pooling) -> None:
    feature_map = torch.randn(1, DIM, 4, 2, 3, dtype=torch.float64)
    traced = torch.jit.trace(pool.eval(), feature_map)
    assert torch.allclose(traced(feature_map), pool(feature_map), atol=1e-12)


@pytest.mark.parametrize("pool", POOLS)
def test_leading_axes_of_tokens_are_kept(pool: Pooling) -> None:
    tokens = torch.randn(2, 5, 3, DIM, dtype=torch.float64)
    pooled = pool.pool_tokens(tokens)
    assert pooled.shape == (2, 5, pool.out_dim)
    assert torch.allclose(pooled[1, 4], pool.pool_tokens(tokens[1, 4]), atol=1e-12)


def test_average_pool_is_the_mean_and_needs_one_token() -> None:
    pool, feature_map = AveragePool(3), torch.randn(2, 3, 4, 5, 6)
    assert (pool.out_dim, pool.num_tokens(1), pool.num_tokens(15)) == (3, 1, 1)
    assert torch.allclose(pool(feature_map), feature_map.flatten(2).mean(2))
    assert list(pool.parameters()) == []


def test_number_of_tokens_is_that_of_the_steps_up_to_the_maximum() -> None:
    pool = TransformerPool(DIM, max_tokens=8)
    assert [pool.num_tokens(steps) for steps in (1, 4, 8, 12, 15)] == [1, 4, 8, 8, 8]


def test_width_is_that_of_the_map_up_to_512_unless_given() -> None:
    with torch.device("meta"):
        widths = {(c, d): TransformerPool(c, dim=d) for c, d in ((64, 0), (512, 0), (2048, 0), (64, 32))}
    assert {key: pool.out_dim for key, pool in widths.items()} == {
        (64, 0): 64,
        (512, 0): 512,
        (2048, 0): 512,
        (64, 32): 32,
    }
    reduced = {key for key, pool in widths.items() if isinstance(pool.reduce, nn.Linear)}
    assert reduced == {(2048, 0), (64, 32)}


def test_parameters_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        pool = TransformerPool(512)
    layer = 2 * (512 * 512 + 512) + 2 * 2 * 512 + (512 * 2048 + 2048) + (2048 * 512 + 512)
    assert sum(p.numel() for p in pool.parameters()) == 2 * layer
    assert [norm.eps for norm in pool.modules() if isinstance(norm, nn.LayerNorm)] == [1e-12] * 4
    assert not any(isinstance(module, nn.Dropout) for module in pool.modules())


def test_weights_start_normal_with_std_002_biases_at_0_norms_at_1() -> None:
    torch.manual_seed(0)
    pool = TransformerPool(96, dim=64, read_out="cls", positions=True, value_projection=True)
    for name, parameter in pool.named_parameters():
        if "norm" in name:
            assert (parameter == (1 if name.endswith("weight") else 0)).all()
        elif name.endswith("bias"):
            assert not parameter.any(), name
        else:
            spread = 5 / math.sqrt(2 * parameter.numel())  # five standard errors
            assert parameter.std().item() == pytest.approx(0.02, rel=spread), name


@pytest.mark.parametrize("read_out", ["first", "cls", "mean"])
def test_gradients_reach_every_parameter(read_out) -> None:
    torch.manual_seed(0)
    pool = TransformerPool(DIM, dim=4, heads=2, read_out=read_out, positions=True, value_projection=True)
    pooled = pool(torch.randn(3, DIM, 4, 2, 2))
    (pooled * torch.randn_like(pooled)).sum().backward()
    # A bias of the keys shifts all scores of a query equally, so the softmax does not change.
    blind = [name for name, p in pool.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12]
    assert all(name.endswith("key.bias") for name in blind)
    assert not pool.position.grad[4:].any()


@pytest.mark.parametrize("create", [create_average_pool, create_transformer_pool])
def test_pool_is_the_last_block_of_a_pytorchvideo_net(create) -> None:
    trunk = create_r2plus1d_10(width=4)
    net = Net(blocks=nn.ModuleList([trunk, create(in_channels=trunk.out_channels)])).eval()
    video = torch.randn(1, 3, 9, 24, 24)
    with torch.no_grad():
        assert net(video).shape == (1, 32)
        assert torch.equal(net(video), net.blocks[1](trunk(video)))  # exact: the same code with the same shapes, twice


def test_a_pool_is_built_by_name_with_the_settings_it_accepts() -> None:
    settings = {"dim": 8, "layers": 1, "heads": 2, "max_tokens": 5, "read_out": "mean"}
    pool = POOLINGS.build("transformer", in_channels=12, **settings)
    assert isinstance(pool, TransformerPool)
    assert (pool.out_dim, len(pool.layers), pool.max_tokens, pool.read_out) == (8, 1, 5, "mean")
    assert isinstance(POOLINGS.build("average", in_channels=12, **settings), AveragePool)


@pytest.mark.parametrize(
    "wrong", [{"heads": 3}, {"layers": 0}, {"max_tokens": 0}, {"max_tokens": 65}, {"dim": 6, "heads": 4}]
)
def test_impossible_numbers_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="heads that divide its width"):
        TransformerPool(DIM, **wrong)


def test_unknown_read_out_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean first"):
        TransformerPool(DIM, read_out="frist")
