"""Trunks compute what the whole library models compute in front of their heads, under the same parameter names."""

import copy

import pytest
import torch
from library_models import MODELS, input_of, shake
from pytorchvideo.models.net import Net
from torch import nn
from torchvision.models.video import mvit_v1_b, mvit_v2_s

from stica_pv.errors import UsageError
from stica_pv.models import NetTrunk, Trunk, create_backbone, create_stica_head, join_pathways, measure_map, trunk_of
from stica_pv.models.transformer_trunks import TorchvisionMViTTrunk


@pytest.mark.parametrize("name", MODELS)
def test_map_is_what_the_whole_model_hands_to_its_head(name: str) -> None:
    torch.manual_seed(0)
    build, head, (frames, side) = MODELS[name]
    model = shake(build()).eval()
    trunk = trunk_of(copy.deepcopy(model)).eval()
    video = torch.randn(2, 3, frames, side, side)
    given = [video[:, :, [0, frames - 1]], video] if name == "slowfast_r50" else video
    theirs = input_of(model, head, given)
    with torch.no_grad():
        ours = trunk(video)
    if name.startswith("mvit"):
        extra = 0 if "without" in name else 1
        theirs = theirs[:, extra:].transpose(1, 2).reshape(ours.shape)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_weights_move_both_ways_without_renaming(name: str) -> None:
    model = MODELS[name].build()
    trunk = trunk_of(copy.deepcopy(model))
    states, whole = trunk.state_dict(), model.state_dict()
    assert model.load_state_dict(states, strict=False).unexpected_keys == []
    trunk.load_state_dict({key: value for key, value in whole.items() if key in states}, strict=True)
    head = {"s3d": ("classifier",), "r3d_18": ("fc",), "efficient_x3d_xs": ("head", "projection")}
    beyond = head.get(name, ("head", f"blocks.{len(getattr(trunk, 'blocks', ()))}", "blocks.6"))
    assert all(key.startswith(beyond) for key in whole.keys() - states.keys())


def test_patch_tokens_lie_where_their_patches_were() -> None:
    torch.manual_seed(0)
    for name, settings in (("mvit_v1_b", {}), ("swin3d_t", {})):
        clip = {"frames": 4, "size": 64} if name == "mvit_v1_b" else {}
        trunk = create_backbone(name, **clip, **settings).eval()
        still, moved = torch.zeros(1, 3, 4, 64, 64), torch.zeros(1, 3, 4, 64, 64)
        moved[..., 2:, :24, 40:] = 1  # late, above, right
        with torch.no_grad():
            change = (trunk(moved) - trunk(still)).norm(dim=1)[0]
        assert change.shape == (2, 2, 2)
        assert change.argmax() == 5, name  # (1, 0, 1)


def test_a_module_that_gives_maps_is_its_own_trunk() -> None:
    conv = nn.Conv3d(3, 4, 1)
    assert trunk_of(conv) is conv


def test_net_without_head_and_net_with_another_head() -> None:
    build, _, (frames, side) = MODELS["x3d_xs"]
    net = build()
    net.blocks[-1] = nn.Identity()
    assert measure_map(trunk_of(net), frames=frames, size=side) == (192, 4, 2, 2)
    net.blocks[-1] = create_stica_head(in_channels=192)
    with pytest.raises(UsageError, match=r"\[\(1, 256\)\].*remove its head"):
        measure_map(trunk_of(net), frames=frames, size=side)


def test_head_convolution_of_x3d_can_stay_under_its_name() -> None:
    torch.manual_seed(0)
    model = shake(MODELS["x3d_xs"].build()).eval()
    trunk = NetTrunk(copy.deepcopy(model), head_conv=True).eval()
    assert model.load_state_dict(trunk.state_dict(), strict=False).unexpected_keys == []
    video = torch.randn(1, 3, 4, 64, 64)
    x = input_of(model, "blocks.5", video)
    pool = model.blocks[-1].pool
    with torch.no_grad():
        expected = pool.pre_act(pool.pre_norm(pool.pre_conv(x)))
        assert trunk.out_channels == 432
        torch.testing.assert_close(trunk(video), expected)
    with pytest.raises(UsageError, match="only X3D's head begins with a convolution"):
        NetTrunk(MODELS["slow_r50"].build(), head_conv=True)


def test_a_transformer_says_which_clips_it_was_built_for() -> None:
    for name in ("mvit_base_16x4", "mvit_v1_b", "mvit_v2_s"):
        trunk = create_backbone(name, frames=4, size=32)
        assert trunk.probe == (4, 32)
        for frames, side in ((8, 32), (4, 64)):
            message = f"built for 4 frames of 32 px, got {frames} frames of {side} x {side} px"
            with pytest.raises(UsageError, match=message):
                trunk(torch.zeros(1, 3, frames, side, side))
        with pytest.raises(UsageError, match="built for 4 frames of 32 px"):
            measure_map(trunk, frames=8, size=32)


def test_joined_pathways_have_the_cells_of_the_first() -> None:
    slow, fast = torch.randn(2, 3, 2, 4, 4), torch.randn(2, 5, 8, 4, 4)
    joined = join_pathways([slow, fast])
    assert joined.shape == (2, 8, 2, 4, 4)
    assert torch.equal(joined[:, :3], slow)  # exact: copied, not calculated
    torch.testing.assert_close(joined[:, 3:, 0], fast[:, :, :4].mean(2))
    assert join_pathways(slow) is slow


def test_pathways_state_channels_and_strides() -> None:
    trunk = create_backbone("slowfast_r50", width=8)
    assert isinstance(trunk, Trunk)
    assert [tuple(pathway) for pathway in trunk.pathways] == [(256, (4, 32, 32)), (32, (1, 32, 32))]
    assert (trunk.out_channels, trunk.strides) == (288, (4, 32, 32))
    assert create_backbone("mc3_18", width=4).strides == (1, 16, 16)
    assert create_backbone("r3d_10", width=4).strides == (8, 16, 16)


def test_blocks_of_somebody_elses_net_are_taken_in_order() -> None:
    net = Net(blocks=nn.ModuleList([nn.Conv3d(3, 4, 1), nn.AvgPool3d((1, 2, 2))]))
    assert measure_map(trunk_of(net), frames=3, size=8) == (4, 3, 4, 4)


@pytest.mark.parametrize("build", [mvit_v1_b, mvit_v2_s])
def test_torchvisions_transformer_at_another_size_gives_its_normalised_patch_tokens(build) -> None:
    torch.manual_seed(0)
    model = build().eval()
    trunk = TorchvisionMViTTrunk(copy.deepcopy(model)).eval()
    trunk.rebuild_positions(4, 32)
    model.pos_encoding = trunk.pos_encoding
    nn.init.uniform_(model.norm.weight)
    trunk.norm.load_state_dict(model.norm.state_dict())
    found = []
    with torch.no_grad(), model.norm.register_forward_hook(lambda _, __, result: found.append(result)):
        video = torch.randn(2, 3, 4, 32, 32)
        model(video)
        ours = trunk(video)
    assert ours.shape == (2, 768, 2, 1, 1)
    torch.testing.assert_close(ours.flatten(2).mT, found[0][:, 1:])
