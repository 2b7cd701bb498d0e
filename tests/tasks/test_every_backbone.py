"""STiCA on every backbone: a step forward and backward on two small clips, and one clip in evaluation."""

from typing import Any

import pytest
import torch
from torch import nn

from stica_pv.models import (
    STANDARD_INPUTS,
    Trunk,
    create_audio_resnet9,
    create_backbone,
    create_projection_head,
    create_transformer_pool,
    measure_map,
    measure_pathways,
)
from stica_pv.registry import AUDIO_ENCODERS, BACKBONES
from stica_pv.structures import Batch, StepKeys
from stica_pv.tasks import AVContrastive, ClipSettings, CropSettings
from stica_pv.transforms import ColorSettings, RandomResizedCrop, create_log_mel

# The smallest clip (frames, side) whose map can still be cut; most halve a frame five times.
CLIPS = dict.fromkeys(BACKBONES.names(), (4, 64)) | {"s3d": (16, 64)}
FIXED_SIZE = ("mvit_base_16x4", "mvit_base_32x3", "mvit_v1_b", "mvit_v2_s")

SHALLOW = {"depth": 4, "embed_dim_mul": [[1, 2.0]], "atten_head_mul": [[1, 2.0]]} | {
    "pool_q_stride_size": [[1, 1, 2, 2], [3, 1, 2, 2]]
}

# One of each family, and narrow where it can be.
FAMILIES: dict[str, dict[str, Any]] = {
    "r2plus1d_10": {"width": 8},
    "mc3_18": {"width": 8},
    "s3d": {},
    "swin3d_t": {},
    "mvit_v2_s": {},
    "slow_r50": {"width": 8},
    "csn_r101": {"width": 8},
    "x3d_xs": {},
    "efficient_x3d_xs": {},
    "slowfast_r50": {"width": 8},
    "av_slowfast_r50": {"width": 8},
    "mvit_base_16x4": SHALLOW,
}
AUDIO_RATE_HZ = 8000


def sized(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    frames, size = CLIPS[name]
    return settings | ({"frames": frames, "size": size} if name in FIXED_SIZE else {})


def task_on(backbone: nn.Module, clip: tuple[int, int], audio_tower: nn.Module | None = None) -> AVContrastive:
    frames, size = clip
    pool = create_transformer_pool(in_channels=measure_map(backbone, frames=frames, size=size)[0], dim=16, heads=2)
    audio_tower = audio_tower or create_audio_resnet9(width=2)
    heads = {"hidden_dim": 8, "out_dim": 4, "dropout": 0.0}
    return AVContrastive(
        clip=ClipSettings(frames, frames / 0.5, size, AUDIO_RATE_HZ, RandomResizedCrop()),
        color=ColorSettings(),
        volume_jitter=0.1,
        backbone=backbone,
        pool=pool,
        video_head=create_projection_head(in_dim=pool.out_dim, **heads),
        log_mel=create_log_mel(sample_rate_hz=AUDIO_RATE_HZ, bands=40, fft_size=512),
        audio_tower=audio_tower,
        audio_head=create_projection_head(in_dim=audio_tower.out_channels, **heads),
        crops=CropSettings(2, 4),
    )


def batch_for(clip: tuple[int, int]) -> Batch:
    frames, size = clip
    video = {name: torch.randint(0, 256, (2, 3, frames, size, size), dtype=torch.uint8) for name in ("view1", "view2")}
    audio, valid = torch.rand(2, AUDIO_RATE_HZ // 2) * 2 - 1, torch.ones(2)
    return Batch(video, {"view1": audio}, {"view1": valid}, torch.arange(2))


def parameters_without_gradient(module: nn.Module) -> list[str]:
    return [name for name, p in module.named_parameters() if p.grad is None or not p.grad.isfinite().all()]


def take_a_step(task: AVContrastive, clip: tuple[int, int]) -> None:
    params = task.train().sample_params(StepKeys(seed=0, step=0, epoch=0, indices=(0, 1)))
    terms = task(batch_for(clip), params)
    assert terms.total.isfinite()
    terms.total.backward()


def check_backbone(name: str, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    clip = CLIPS[name]
    backbone = create_backbone(name, **sized(name, settings))
    task = task_on(backbone, clip)
    take_a_step(task, clip)
    # Of a parameter that nothing reaches the gradient is None; data parallel training would stop at it.
    assert parameters_without_gradient(task) == []
    first, *_, last = backbone.parameters()
    assert first.grad.any()
    assert last.grad.any()
    assert next(task.video_head.parameters()).grad.any()
    with torch.no_grad():
        encoder = task.eval().encoders()["video"]
        one = torch.randint(0, 256, (1, 3, clip[0], clip[1], clip[1]), dtype=torch.uint8)
        assert encoder(one).shape == (1, 16)
        assert encoder(one, "map").shape == (1, task.pool.reduce.in_features, *task.map_shape)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_of_each_family_learns_and_encodes(name: str) -> None:
    check_backbone(name, FAMILIES[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES.names())
def test_every_backbone_as_published_learns_and_encodes(name: str) -> None:
    check_backbone(name, {})


@pytest.mark.parametrize("name", AUDIO_ENCODERS.names())
def test_every_audio_encoder_learns_and_encodes(name: str) -> None:
    torch.manual_seed(0)
    clip = (4, 32)
    tower = AUDIO_ENCODERS.get(name)(width=8)
    task = task_on(create_backbone("r2plus1d_10", width=4), clip, tower)
    take_a_step(task, clip)
    assert parameters_without_gradient(task) == []
    assert next(tower.parameters()).grad.any()
    encoder = task.eval().encoders()["audio"]
    with torch.no_grad():
        assert encoder(torch.rand(1, AUDIO_RATE_HZ)).shape == (1, tower.out_channels)
        assert encoder(torch.rand(1, AUDIO_RATE_HZ), "map").shape[:2] == (1, tower.out_channels)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES.names())
def test_every_backbone_declares_the_channels_and_strides_of_its_standard_input(name: str) -> None:
    frames, size = STANDARD_INPUTS[name]
    backbone = create_backbone(name)
    assert isinstance(backbone, Trunk)
    sizes = measure_pathways(backbone, frames=frames, size=size)
    assert [one.channels for one in sizes] == [pathway.channels for pathway in backbone.pathways]
    for one, pathway in zip(sizes, backbone.pathways, strict=True):
        expected = [length / stride for length, stride in zip((frames, size, size), pathway.strides, strict=True)]
        assert all(abs(cells - length) < 1 for cells, length in zip(one.shape, expected, strict=True))


def test_every_backbone_has_a_standard_input() -> None:
    assert STANDARD_INPUTS.keys() == set(BACKBONES.names())
