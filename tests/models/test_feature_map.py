import copy

import pytest
import torch
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.models import create_r2plus1d_10, measure_map


def test_measuring_changes_nothing_in_the_backbone() -> None:
    net = create_r2plus1d_10(width=4).train()
    before = copy.deepcopy(net.state_dict())
    assert measure_map(net, frames=16, size=64) == (32, 2, 4, 4)
    assert net.training
    assert next(net.parameters()).device.type == "cpu"
    # exact: left alone, not calculated
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_one_clip_in_training_mode_can_be_measured_although_batch_norm_refuses_it() -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Conv3d(3, 5, 1), nn.BatchNorm3d(5)).train()
    with pytest.raises(ValueError, match="more than 1 value"):
        net(torch.randn(1, 3, 4, 8, 8))
    assert measure_map(net, frames=4, size=8) == (5, 1, 1, 1)


def test_a_backbone_that_does_not_give_a_map_is_refused_with_its_shape() -> None:
    with pytest.raises(UsageError, match=r"\(1, 3, 4, 8\)"):
        measure_map(_Mean(), frames=4, size=8)


def test_an_input_that_the_backbone_cannot_take_is_refused_with_its_numbers() -> None:
    with pytest.raises(UsageError, match="2 frames of 8 px"):
        measure_map(nn.Conv3d(3, 4, (5, 1, 1)), frames=2, size=8)


class _Mean(nn.Module):
    def forward(self, video: Tensor) -> Tensor:
        return video.mean(-1)
