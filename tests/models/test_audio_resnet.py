import math

import stica_pv.compat  # noqa: F401 - repairs torchvision

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from stica_pv.errors import UsageError
from stica_pv.models import AudioResNet, create_audio_resnet9, create_audio_resnet18


@pytest.fixture(scope="module")
def meta_resnet9() -> AudioResNet:
    with torch.device("meta"):
        return create_audio_resnet9()


def torchvision_resnet(blocks: list[int]) -> ResNet:
    """The released construction: torchvision's network, then its first convolution replaced."""
    net = ResNet(BasicBlock, blocks)
    net.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    net.fc = nn.Identity()
    return net


@pytest.mark.parametrize(("create", "blocks"), [(create_audio_resnet9, [1] * 4), (create_audio_resnet18, [2] * 4)])
def test_layout_is_torchvisions_with_one_input_channel(create, blocks: list[int]) -> None:
    with torch.device("meta"):
        ours, theirs = create().state_dict(), torchvision_resnet(blocks).state_dict()
    assert {k: tuple(v.shape) for k, v in ours.items()} == {k: tuple(v.shape) for k, v in theirs.items()}


def test_vector_equals_that_of_torchvisions_network() -> None:
    torch.manual_seed(0)
    ours = create_audio_resnet9().eval()
    with torch.device("meta"):
        theirs = torchvision_resnet([1] * 4).eval()
    theirs.load_state_dict(ours.state_dict(), strict=True, assign=True)
    log_mel = torch.randn(2, 1, 40, 45)
    with torch.no_grad():
        assert torch.allclose(ours(log_mel), theirs(log_mel), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("bands", "columns", "cells"),
    [(257, 99, (9, 4)), (257, 199, (9, 7)), (257, 299, (9, 10)), (257, 399, (9, 13)), (40, 99, (2, 4))],
)
def test_map_and_vector_of_the_papers_spectrograms(meta_resnet9, bands: int, columns: int, cells) -> None:
    log_mel = torch.empty(2, 1, bands, columns, device="meta")
    assert meta_resnet9.map(log_mel).shape == (2, 512, *cells)
    assert meta_resnet9(log_mel).shape == (2, 512)
    assert meta_resnet9.out_channels == 512


def test_first_convolution_keeps_the_frameworks_start_and_the_others_are_kaiming_normal() -> None:
    torch.manual_seed(0)
    net = create_audio_resnet9()
    bound = 1 / 7  # uniform in ±1/sqrt(fan in), fan in = 1 x 7 x 7
    assert bound * 0.95 < net.conv1.weight.abs().max() <= bound
    assert net.conv1.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module is not net.conv1:
            expected = math.sqrt(2 / (module.out_channels * math.prod(module.kernel_size)))
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05)
            assert module.weight.abs().max() > 2.5 * expected


@pytest.mark.parametrize("columns", [1, 33, 40])
def test_any_length_and_one_clip_give_one_vector_the_mean_of_the_map(columns: int) -> None:
    net = create_audio_resnet9(width=4).eval()
    log_mel = torch.randn(1, 1, 24, columns)
    with torch.no_grad():
        assert net(log_mel).shape == (1, 32)
        assert net.map(log_mel).shape == (1, 32, 1, math.ceil(columns / 32))
        assert torch.allclose(net(log_mel), net.map(log_mel).flatten(2).mean(-1))


@pytest.mark.parametrize("create", [create_audio_resnet9, create_audio_resnet18])
def test_gradients_reach_every_parameter(create) -> None:
    torch.manual_seed(0)
    net = create(width=4)
    net(torch.randn(3, 1, 33, 41)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_blocks_are_checked() -> None:
    with pytest.raises(UsageError, match=r"four stages .*\[1, 0, 1, 1\]"):
        AudioResNet((1, 0, 1, 1), 8)
