"""Recomputing activations changes memory, never numbers."""

import copy

import pytest
import torch
from torch import nn

from stica_pv.models import as_list, create_backbone, create_r2plus1d_10, measure_map
from stica_pv.models.activation_checkpoint import checkpoint_stages


def test_gradients_statistics_and_names_are_those_of_the_plain_trunk():
    torch.manual_seed(0)
    plain = create_r2plus1d_10(width=4).double()
    recomputing = checkpoint_stages(copy.deepcopy(plain))
    video = torch.randn(2, 3, 4, 16, 16, dtype=torch.float64)
    for net in (plain, recomputing):
        net(video).square().sum().backward()
    for (name, a), (other, b) in zip(plain.named_parameters(), recomputing.named_parameters(), strict=True):
        assert name == other
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-10)
    for name, value in plain.state_dict().items():
        # exact: copied, not calculated
        torch.testing.assert_close(recomputing.state_dict()[name], value, rtol=0, atol=0)


def test_a_compiled_trunk_recomputes_and_tracks_statistics_once():
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Tanh()) for _ in range(2)]
    plain = nn.Sequential(*stages).double()
    recomputing = checkpoint_stages(copy.deepcopy(plain))
    recomputing.compile(backend="aot_eager")  # code generation takes minutes
    video = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    for net in (plain, recomputing):
        net(video).square().sum().backward()
    for a, b in zip(plain.parameters(), recomputing.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-10)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(recomputing.state_dict()[name], value)


def kept_values(net: nn.Module, video: torch.Tensor) -> int:
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
        net(video)
    return sum(sizes)


def test_fewer_values_are_kept_for_the_backward_pass():
    plain, video = create_r2plus1d_10(width=4), torch.randn(2, 3, 4, 16, 16)
    assert kept_values(checkpoint_stages(copy.deepcopy(plain)), video) < 0.5 * kept_values(plain, video)


def test_the_map_can_still_be_measured_without_running():
    assert measure_map(checkpoint_stages(create_r2plus1d_10(width=4)), frames=8, size=32) == (32, 1, 2, 2)


@pytest.mark.parametrize(
    ("name", "settings", "clip"),
    [
        ("slowfast_r50", {"width": 8}, (4, 64)),
        ("mvit_v2_s", {"frames": 4, "size": 32}, (4, 32)),
        ("x3d_xs", {}, (4, 32)),
        ("swin3d_t", {}, (4, 32)),
    ],
)
def test_stages_with_several_inputs_and_with_chance_recompute_the_same(name: str, settings, clip) -> None:
    torch.manual_seed(0)
    plain = create_backbone(name, **settings)
    recomputing = checkpoint_stages(copy.deepcopy(plain))
    frames, size = clip
    video = torch.randn(2, 3, frames, size, size)
    for net in (plain, recomputing):
        torch.manual_seed(1)  # stochastic depth
        sum(one.square().sum() for one in as_list(net(video))).backward()
    for (key, a), (other, b) in zip(plain.named_parameters(), recomputing.named_parameters(), strict=True):
        assert key == other
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5 * max(1.0, float(a.grad.abs().max())))
    assert kept_values(recomputing, video) < 0.4 * kept_values(plain, video)
