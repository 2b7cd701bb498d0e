"""Pre-activation ResNets with and without the shift in time: BraVe's trunk and audio tower."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stica_pv.errors import UsageError
from stica_pv.models import (
    create_audio_resnet14_v2,
    create_audio_resnet50_v2,
    create_backbone,
    create_tsm_resnet14,
    create_tsm_resnet50,
    measure_map,
)
from stica_pv.models.resnet_v2 import PreActivationBlock, temporal_shift, truncated_normal


def written_out_parameters(blocks: list[int], width: int, channels: int) -> int:
    """Stem, bottlenecks with a batch-norm before each convolution, last batch-norm."""
    total, before = 7 * 7 * channels * width, width
    for stage, count in enumerate(blocks):
        out = 4 * width * 2**stage
        middle = out // 4
        for block in range(count):
            into = out if block else before
            total += 2 * into + into * middle + 2 * middle + 9 * middle * middle + 2 * middle + middle * out
            total += 0 if block else into * out  # the shortcut, without batch-norm
        before = out
    return total + 2 * before


@pytest.mark.parametrize(
    ("build", "blocks", "width", "channels", "known"),
    [
        (create_tsm_resnet50, [3, 4, 6, 3], 64, 3, 23_500_352),
        (create_tsm_resnet50, [3, 4, 6, 3], 128, 3, 93_891_712),
        (create_tsm_resnet14, [1, 1, 1, 1], 16, 3, None),
        (create_audio_resnet50_v2, [3, 4, 6, 3], 64, 1, 23_494_080),
        (create_audio_resnet14_v2, [1, 1, 1, 1], 8, 1, None),
    ],
)
def test_number_of_parameters(build: Any, blocks: list[int], width: int, channels: int, known: int | None) -> None:
    with torch.device("meta"):
        network = build(width=width)
    counted = sum(p.numel() for p in network.parameters())
    assert counted == written_out_parameters(blocks, width, channels)
    assert known in (None, counted)


def slow_shift(x: torch.Tensor) -> torch.Tensor:
    """(T, C, H, W): channel by channel and frame by frame."""
    frames, channels = x.shape[:2]
    fold = channels // 8
    out = torch.zeros_like(x)
    for t in range(frames):
        for c in range(channels):
            if c < fold:  # to the front: the last channels of the next frame
                source, channel = t + 1, channels - fold + c
            elif c >= channels - fold:  # to the end: the first channels of the frame before
                source, channel = t - 1, c - (channels - fold)
            else:
                source, channel = t, c
            if 0 <= source < frames:
                out[t, c] = x[source, channel]
    return out


@pytest.mark.parametrize(("frames", "channels"), [(5, 16), (1, 8), (2, 27)])
def test_shift_moves_channels_in_time_and_to_the_other_end(frames: int, channels: int) -> None:
    clips = torch.randn(3, frames, channels, 2, 2)
    shifted = temporal_shift(clips.flatten(0, 1), frames)
    assert torch.equal(shifted, torch.cat([slow_shift(clip) for clip in clips]))  # exact: copied, not calculated


def slow_block(block: PreActivationBlock, x: torch.Tensor, frames: int) -> torch.Tensor:
    def active(y: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
        wide = (1, -1, 1, 1)
        mean, variance = y.mean((0, 2, 3)).view(wide), y.var((0, 2, 3), unbiased=False).view(wide)
        return F.relu((y - mean) / (variance + 1e-5).sqrt() * norm.weight.view(wide) + norm.bias.view(wide))

    first = active(x, block.bn1)
    shortcut = F.conv2d(first, block.shortcut.weight, stride=2) if block.shortcut else x
    clips = first.unflatten(0, (-1, frames))
    y = torch.cat([slow_shift(clip) for clip in clips]) if block.shift else first
    y = active(F.conv2d(y, block.conv1.weight), block.bn2)
    y = active(F.conv2d(y, block.conv2.weight, stride=block.conv2.stride, padding=1), block.bn3)
    return shortcut + F.conv2d(y, block.conv3.weight)


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_a_block_equals_the_one_written_out(shift: bool, first: bool) -> None:
    torch.manual_seed(0)
    block = PreActivationBlock(16, 32 if first else 16, stride=2 if first else 1, first=first, shift=shift).double()
    for norm in (block.bn1, block.bn2, block.bn3):
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    x = torch.randn(6, 16, 5, 5, dtype=torch.float64)
    assert torch.allclose(block(x, 3), slow_block(block, x, 3), atol=1e-10)


@pytest.mark.parametrize(("frames", "size"), [(5, 64), (1, 32), (8, 40)])
def test_the_map_keeps_time_and_halves_frames_five_times(frames: int, size: int) -> None:
    trunk = create_backbone("tsm_resnet14", width=8).eval()
    cells = -(-size // 32)
    assert trunk(torch.rand(1, 3, frames, size, size)).shape == (1, 256, frames, cells, cells)
    assert measure_map(trunk, frames=frames, size=size) == (256, frames, cells, cells)


def test_full_trunk_and_tower_give_2048_channels() -> None:
    with torch.device("meta"):
        trunk, tower = create_tsm_resnet50(), create_audio_resnet50_v2()
    assert measure_map(trunk, frames=16, size=224) == (2048, 16, 7, 7)
    assert trunk.pathways[0].strides == (1, 32, 32)
    audio = torch.empty(2, 1, 80, 3072, device="meta")
    assert (tower.out_channels, tower(audio).shape) == (2048, (2, 2048))
    assert tower.map(audio).shape == (2, 2048, 3, 96)


def test_a_frame_is_seen_by_its_neighbors_alone_within_a_block() -> None:
    trunk = create_tsm_resnet14(width=8).eval()
    clip = torch.rand(1, 3, 11, 32, 32)
    changed = clip.clone()
    changed[:, :, 5] += 1
    moved = (trunk(clip) != trunk(changed)).flatten(3).any(3).any(1)[0]
    assert moved.tolist() == [1 <= t <= 9 for t in range(11)]  # four blocks
    near = (trunk.stage1(trunk.stem(clip)) != trunk.stage1(trunk.stem(changed))).flatten(3).any(3).any(1)[0]
    assert near.tolist() == [4 <= t <= 6 for t in range(11)]


@pytest.mark.parametrize("build", [create_tsm_resnet14, create_audio_resnet14_v2])
def test_gradients_reach_every_parameter(build: Any) -> None:
    network = build(width=8)
    network(torch.rand(2, 3, 3, 32, 32) if build is create_tsm_resnet14 else torch.rand(2, 1, 33, 40)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_weights_are_truncated_normals_by_fan_in() -> None:
    weight = torch.empty(400, 20, 5, 5)
    truncated_normal(weight)
    std = (20 * 25) ** -0.5
    assert weight.abs().max().item() <= 2 * std
    assert weight.std().item() == pytest.approx(0.8796 * std, rel=0.01)  # of a normal cut at two deviations


@pytest.mark.parametrize("width", [0, 4, 12])
def test_a_width_that_cannot_be_split_in_eight_is_refused(width: int) -> None:
    with pytest.raises(UsageError, match="a width divisible by 8"):
        create_tsm_resnet14(width=width)
