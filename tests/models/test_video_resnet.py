import math

import stica_pv.compat  # noqa: F401 - repairs torchvision

import pytest
import torch
from torch import nn
from torchvision.models.video import mc3_18, r2plus1d_18, r3d_18

from stica_pv.errors import UsageError
from stica_pv.models import VideoResNet, create_r2plus1d_10, create_r2plus1d_18, measure_map
from stica_pv.models.video_resnet import create_mc2_10, create_mc3_18, create_r3d_10, create_r3d_18

MID_WIDTHS = {  # floor(27 in out / (9 in + 3 out)) of the block's input and output
    ("layer1", 0): 144,
    ("layer1", 1): 144,
    ("layer2", 0): 230,
    ("layer2", 1): 288,
    ("layer3", 0): 460,
    ("layer3", 1): 576,
    ("layer4", 0): 921,
    ("layer4", 1): 1152,
}


@pytest.fixture(scope="module")
def trunk() -> VideoResNet:
    torch.manual_seed(0)
    return create_r2plus1d_18()


@pytest.fixture(scope="module")
def meta_trunk() -> VideoResNet:
    with torch.device("meta"):
        return create_r2plus1d_18()


def test_weights_move_to_torchvision_and_give_the_same_map(trunk: VideoResNet) -> None:
    with torch.device("meta"):
        reference = r2plus1d_18(weights=None)
    reference.fc = nn.Identity()
    reference.load_state_dict(trunk.state_dict(), strict=True, assign=True)
    video = torch.randn(1, 3, 5, 24, 24)
    with torch.no_grad():
        ours, x = trunk.eval()(video), video
        for part in ("stem", "layer1", "layer2", "layer3", "layer4"):
            x = reference.eval().get_submodule(part)(x)
    assert ours.shape == (1, 512, 1, 2, 2)
    assert torch.equal(ours, x)  # exact: the same code with the same shapes, twice


def test_torchvision_weights_load_strictly(meta_trunk: VideoResNet) -> None:
    with torch.device("meta"):
        reference = r2plus1d_18(weights=None).state_dict()
    theirs = {name: tuple(value.shape) for name, value in reference.items() if not name.startswith("fc.")}
    assert {name: tuple(value.shape) for name, value in meta_trunk.state_dict().items()} == theirs


def test_parameter_count_is_that_of_torchvision_without_classifier(meta_trunk: VideoResNet) -> None:
    with torch.device("meta"):
        reference = r2plus1d_18(weights=None)
    whole = sum(p.numel() for p in reference.parameters())
    classifier = sum(p.numel() for p in reference.fc.parameters())
    assert sum(p.numel() for p in meta_trunk.parameters()) == whole - classifier == 31_300_125


@pytest.mark.parametrize(("stage", "block"), MID_WIDTHS)
def test_mid_width_of_each_block_serves_both_convolutions(meta_trunk: VideoResNet, stage: str, block: int) -> None:
    module = meta_trunk.get_submodule(f"{stage}.{block}")
    spatial = [module.conv1[0][0], module.conv2[0][0]]
    assert [conv.out_channels for conv in spatial] == [MID_WIDTHS[stage, block]] * 2
    assert all(conv.kernel_size == (1, 3, 3) for conv in spatial)


def test_no_convolution_has_a_bias(meta_trunk: VideoResNet) -> None:
    assert all(m.bias is None for m in meta_trunk.modules() if isinstance(m, nn.Conv3d))


def test_convolutions_start_kaiming_normal_fan_out_and_norms_at_one_and_zero(trunk: VideoResNet) -> None:
    for module in trunk.modules():
        if isinstance(module, nn.Conv3d):
            expected = math.sqrt(2 / (module.out_channels * math.prod(module.kernel_size)))
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05)
            assert module.weight.mean().item() == pytest.approx(0, abs=0.05 * expected)
            assert module.weight.abs().max() > 2.5 * expected  # normal, not uniform
        elif isinstance(module, nn.BatchNorm3d):
            assert torch.equal(module.weight, torch.ones_like(module.weight))  # exact: fresh layers, not calculated
            assert torch.equal(module.bias, torch.zeros_like(module.bias))  # exact: fresh layers, not calculated


@pytest.mark.parametrize(("frames", "steps"), [(30, 4), (32, 4), (60, 8), (90, 12), (120, 15)])
def test_map_of_the_papers_clip_lengths(meta_trunk: VideoResNet, frames: int, steps: int) -> None:
    assert measure_map(meta_trunk, frames=frames, size=112) == (512, steps, 7, 7)


def test_map_at_128_pixels_is_8_by_8(meta_trunk: VideoResNet) -> None:
    assert measure_map(meta_trunk, frames=32, size=128) == (512, 4, 8, 8)


@pytest.mark.parametrize("create", [create_r2plus1d_10, create_r2plus1d_18])
@pytest.mark.parametrize("frames", [1, 7, 9])
def test_odd_lengths_and_one_clip_pass_and_the_measured_map_is_the_real_one(create, frames: int) -> None:
    net = create(width=4).eval()
    with torch.no_grad():
        shape = net(torch.randn(1, 3, frames, 24, 40)).shape
    cells = [math.ceil(length / stride) for length, stride in zip((frames, 24, 40), net.strides, strict=True)]
    assert shape == (1, net.out_channels, *cells)
    assert net.out_channels == 32
    assert measure_map(net, frames=frames, size=24) == (32, cells[0], 2, 2)


@pytest.mark.parametrize("create", [create_r2plus1d_10, create_r2plus1d_18])
def test_gradients_reach_every_parameter(create) -> None:
    torch.manual_seed(0)
    net = create(width=4)
    feature_map = net(torch.randn(2, 3, 9, 32, 32))
    (feature_map * torch.randn_like(feature_map)).sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


def test_width_and_blocks_are_checked() -> None:
    with pytest.raises(UsageError, match="width >= 4, got .*2"):
        create_r2plus1d_10(width=2)
    with pytest.raises(UsageError, match=r"four stages .*\[1, 1\]"):
        VideoResNet((1, 1), 8)


@pytest.mark.parametrize(("create", "build"), [(create_r3d_18, r3d_18), (create_mc3_18, mc3_18)])
def test_r3d_and_mc3_are_torchvisions(create, build) -> None:
    torch.manual_seed(0)
    reference, trunk = build(weights=None).eval(), create().eval()
    reference.fc = nn.Identity()
    assert {n: v.shape for n, v in trunk.state_dict().items()} == {
        n: v.shape for n, v in reference.state_dict().items()
    }
    trunk.load_state_dict(reference.state_dict())
    video = torch.randn(1, 3, 9, 24, 24)
    with torch.no_grad():
        ours, x = trunk(video), video
        for part in ("stem", "layer1", "layer2", "layer3", "layer4"):
            x = reference.get_submodule(part)(x)
    assert torch.equal(ours, x)  # exact: the same code with the same shapes, twice
    assert ours.shape == (1, 512, 9 if create is create_mc3_18 else 2, 2, 2)


def test_a_unit_of_mc2_10_sees_three_frames_and_no_more() -> None:
    trunk = create_mc2_10(width=4).eval()
    video = torch.randn(1, 3, 13, 16, 16, requires_grad=True)
    trunk(video)[:, :, 6].square().sum().backward()
    assert video.grad is not None
    assert video.grad.abs().sum((0, 1, 3, 4)).nonzero().flatten().tolist() == [5, 6, 7]


def test_narrow_r3d_has_the_blocks_of_the_wide_one() -> None:
    narrow, wide = (create_r3d_10(width=width).state_dict() for width in (8, 16))
    assert narrow.keys() == wide.keys()
    assert narrow["stem.0.weight"].shape == (8, 3, 3, 7, 7)
    assert narrow["layer4.0.conv2.0.weight"].shape == (64, 64, 3, 3, 3)
