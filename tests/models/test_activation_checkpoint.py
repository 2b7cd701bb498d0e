"""Recomputing activations changes memory, never numbers."""

import copy

import torch

from stica_pv.models import create_r2plus1d_10, measure_map
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
        torch.testing.assert_close(recomputing.state_dict()[name], value, rtol=0, atol=0)


def test_fewer_values_are_kept_for_the_backward_pass():
    def kept_values(net: torch.nn.Module) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            net(torch.randn(2, 3, 4, 16, 16))
        return sum(sizes)

    plain = create_r2plus1d_10(width=4)
    assert kept_values(checkpoint_stages(copy.deepcopy(plain))) < 0.5 * kept_values(plain)


def test_the_map_can_still_be_measured_without_running():
    assert measure_map(checkpoint_stages(create_r2plus1d_10(width=4)), frames=8, size=32) == (32, 1, 2, 2)
