"""The head as the last block of a plain pytorchvideo network, and on crops."""

import copy

import pytest
import torch
from library_models import MODELS

from stica_pv.models import FeatureCrop, STiCAHead, create_average_pool, create_stica_head, plan_crops, whole_map


def test_it_ends_a_net_and_leaves_the_loaded_weights_alone() -> None:
    net = MODELS["slow_r50"].build()
    before = copy.deepcopy(net.blocks[:-1].state_dict())
    net.blocks[-1] = create_stica_head(in_channels=256, out_dim=6)
    assert net(torch.randn(2, 3, 4, 64, 64)).shape == (2, 6)
    net.eval()
    assert net(torch.randn(1, 3, 4, 64, 64)).shape == (1, 6)
    after = net.blocks[:-1].state_dict()
    assert all(
        # exact: left alone, not calculated
        torch.equal(value, after[name])
        for name, value in before.items()
        if "running" not in name and "num_" not in name
    )


def test_it_ends_a_net_of_two_pathways() -> None:
    net = MODELS["slowfast_r50"].build()
    net.blocks[-2] = torch.nn.Identity()  # instead of the pooling and concatenation of the pathways
    net.blocks[-1] = create_stica_head(in_channels=288, out_dim=6)
    video = torch.randn(2, 3, 8, 64, 64)
    assert net([video[:, :, ::4], video]).shape == (2, 6)


@pytest.mark.parametrize("pathways", [False, True])
@pytest.mark.parametrize("head", ["transformer", "average"])
def test_whole_map_and_the_crop_that_is_the_whole_map_have_one_embedding(pathways: bool, head: str) -> None:
    torch.manual_seed(0)
    maps = [torch.randn(2, 8, 4, 3, 3)] + ([torch.randn(2, 8, 16, 3, 3)] if pathways else [])
    channels = 8 * len(maps)
    pool = create_average_pool(in_channels=channels) if head == "average" else None
    block = create_stica_head(in_channels=channels, out_dim=5, hidden_dim=6, dropout=0.0, pool=pool).eval()
    assert isinstance(block, STiCAHead)
    shapes = [tuple(one.shape[2:]) for one in maps]
    plan = plan_crops(whole_map(shapes[0]), shapes[0], block.pool.num_tokens(4), pathways=shapes[1:])
    given = maps if pathways else maps[0]
    with torch.no_grad():
        tokens = block.embed_tokens(FeatureCrop()(given, plan))
        torch.testing.assert_close(tokens[0], block(given), rtol=1e-5, atol=1e-6)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    block = create_stica_head(in_channels=8, out_dim=5, hidden_dim=16, dropout=0.0)
    (block(torch.randn(4, 8, 3, 2, 2)) * torch.randn(4, 5)).sum().backward()
    without = [name for name, p in block.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in without if not name.endswith("key.bias")] == []  # invisible to the softmax
