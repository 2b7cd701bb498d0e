"""The full-size configurations of BraVe."""

import contextlib
from pathlib import Path

import pytest
import torch
from slow_stica import keys_of
from torch import nn

from stica_pv.config import merge_file
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import create_task
from stica_pv.engine.config import optimizer_from_config
from stica_pv.engine.optimizer import set_lr
from stica_pv.errors import UsageError
from stica_pv.structures import Batch
from stica_pv.tasks.brave.config import brave_from_config

ROOT = Path(__file__).resolve().parents[3]


def test_views_of_the_full_size_meet_in_one_space() -> None:
    cfg = get_cfg()
    merge_file(cfg, ROOT / "projects" / "brave" / "v_va_tsm50.yaml")
    with torch.device("meta"):
        task = create_task(cfg)
        features = {"narrow": task.pool(task.backbone(torch.empty(2, 3, 2, 32, 32)))}
        for view, shape in {"video": (2, 3, 2, 32, 32), "audio": (2, 1, 80, 64)}.items():
            features[view] = task.get_submodule(f"broad_{view}")(torch.empty(shape))
        assert {tuple(rows.shape) for rows in features.values()} == {(2, 2048)}
        z, h = task.heads.eval()(features)
    assert z.shape == h.shape == (4, 2, 128)
    assert task.views().sample_windows(10.0, torch.Generator())["broad"].seconds == pytest.approx(10.24)


@pytest.mark.slow
def test_the_largest_recipe_takes_a_step_at_a_small_input() -> None:
    cfg = get_cfg()
    merge_file(cfg, ROOT / "projects" / "brave" / "v_va_tsm50.yaml")
    cfg.SOLVER.LARS_MASK = "intended"  # whose steps are in proportion to the weights
    small = {"DATA": {"NUM_FRAMES": 2, "TRAIN_CROP_SIZE": 32}, "BRAVE": {"BROAD_FRAMES": 2, "BROAD_CROP_SIZE": 32}}
    for part, values in small.items():
        cfg[part].update(values)
    task = create_task(cfg).train()
    optimizer = optimizer_from_config(cfg, task.parameter_groups())
    before = {name: p.detach().clone() for name, p in task.named_parameters() if p.ndim > 1}
    rng = torch.Generator().manual_seed(0)
    video_settings = {
        name: torch.randint(0, 256, (2, 3, 2, 32, 32), generator=rng, dtype=torch.uint8) for name in ("narrow", "video")
    }
    audio = torch.rand(2, round(task.broad.seconds * 48000), generator=rng) - 0.5
    batch = Batch(video_settings, {"audio": audio}, {"audio": torch.ones(2)}, torch.tensor([4, 7]))
    task(batch, task.sample_params(keys_of(indices=(4, 7)))).total.backward()
    set_lr(optimizer, 0.1)
    optimizer.step()
    for name, p in task.named_parameters():
        if p.ndim > 1:
            moved = (p.detach() - before[name]).norm() / before[name].norm()
            lr = 1.0 if "predictor" in name else 0.1
            assert moved.item() == pytest.approx(lr * 0.001 * 1.9, rel=1e-3), name  # Nesterov's first step


def sized(*, frames: int, size: int) -> nn.Module:
    trunk = nn.Conv3d(3, 4, 2, stride=2)
    trunk.made_for = (frames, size)
    return trunk


def test_every_key_reaches_its_place() -> None:
    cfg = get_cfg()
    merge_file(cfg, ROOT / "projects" / "brave" / "v_va_tsm50.yaml")
    cfg.MODEL.ARCH, cfg.AUDIO.ARCH, cfg.AUDIO.WIDTH = f"{__name__}:sized", "resnet9", 2
    cfg.DATA.update({"NUM_FRAMES": 4, "TRAIN_CROP_SIZE": 40, "TARGET_FPS": 8.0, "BLUR_KERNEL": 9, "BLUR_PROB": 0.7})
    cfg.BRAVE.update({"BROAD_FRAMES": 6, "BROAD_CROP_SIZE": 24, "BROAD_FPS": 3.0, "BROAD_BLUR_KERNEL": 3})
    cfg.BRAVE.update({"RANDOM_CONV_PROB": 0.3, "ALIGNMENT": "random", "HEADS": "per_view", "WEIGHTS": [1.0, 0.5]})
    cfg.BRAVE.update({"PREDICTOR_DIM": 5, "PREDICTOR_LR_SCALE": 7.0})
    cfg.HEAD.update({"HIDDEN_DIM": 6, "DIM": 3})
    task = brave_from_config(cfg)
    assert (task.backbone.made_for, task.get_submodule("broad_video")[0].made_for) == ((4, 40), (6, 24))
    assert (task.narrow.seconds, task.broad.seconds, task.alignment) == (0.5, 2.0, "random")
    assert (task.weights, task.predictor_lr_scale) == ((1.0, 0.5), 7.0)
    colors = [task.video_settings[view].color for view in ("narrow", "video")]
    assert [color.blur_kernel for color in colors] == [9, 3]
    assert (colors[0].brightness, colors[0].saturation, colors[0].contrast) == (0.1255, 0.4, 0.4)
    assert (colors[0].hue, colors[0].blur_prob) == (0.2, 0.7)
    assert [task.video_settings[view].convolution_prob for view in ("narrow", "video")] == [0.0, 0.3]
    assert list(task.heads.predictors) == ["video", "narrow", "audio"]
    assert task.heads.predictors["audio"][0].weight.shape == (5, 3)
    assert task.heads.projectors["audio"].rest[2].weight.shape == (3, 6)
    assert (task.log_mel.style, task.log_mel.fft_size, task.log_mel.hop_samples) == ("brave", 320, 160)


def test_blur_taps_are_a_tenth_of_each_views_size_unless_set() -> None:
    cfg = get_cfg()
    merge_file(cfg, ROOT / "projects" / "brave" / "v_va_tsm50.yaml")
    cfg.MODEL.ARCH, cfg.AUDIO.ARCH = f"{__name__}:sized", "resnet9"
    assert [each.color.blur_kernel for each in brave_from_config(cfg).video_settings.values()] == [23, 11]
    cfg.DATA.BLUR_KERNEL, cfg.BRAVE.BROAD_CROP_SIZE = 5, 160
    assert [each.color.blur_kernel for each in brave_from_config(cfg).video_settings.values()] == [5, 17]


@pytest.mark.parametrize(("taps", "fits"), [(4, False), (223, True), (225, False)])
def test_a_blur_that_does_not_fit_the_frames_is_refused_by_its_key(taps: int, fits: bool) -> None:
    cfg = get_cfg()
    merge_file(cfg, ROOT / "projects" / "brave" / "v_va_tsm50.yaml")
    cfg.MODEL.ARCH, cfg.AUDIO.ARCH = f"{__name__}:sized", "resnet9"
    cfg.BRAVE.BROAD_BLUR_KERNEL = taps
    with (
        contextlib.nullcontext()
        if fits
        else pytest.raises(
            UsageError, match=f"BRAVE.BROAD_BLUR_KERNEL: got {taps}, expected an odd number less than 224"
        )
    ):
        assert brave_from_config(cfg).video_settings["video"].color.blur_kernel == taps


def test_flow_wants_a_trunk_of_two_channels_and_sharing_wants_broad_frames() -> None:
    cfg = get_cfg()
    merge_file(cfg, ROOT / "projects" / "brave" / "v_af_tsm50.yaml")
    cfg.MODEL.ARCH = "r2plus1d_10"
    with pytest.raises(UsageError, match="MODEL.ARCH r2plus1d_10 does not support optical flow; use tsm_resnet50 or"):
        brave_from_config(cfg)
    cfg.MODEL.ARCH, cfg.MODEL.WIDTH, cfg.AUDIO.ARCH, cfg.AUDIO.WIDTH = "tsm_resnet14", 8, "resnet9", 2
    task = brave_from_config(cfg)
    assert [spec.name for spec in task.views().specs] == ["narrow", "audio", "flow"]
    assert (task.flow_crop.crop.area, task.get_submodule("broad_flow")[0].in_channels) == ((0.3, 1.0), 2)
    cfg.BRAVE.SHARE_BACKBONE = True
    with pytest.raises(UsageError, match="BRAVE.SHARE_BACKBONE needs broad frames"):
        brave_from_config(cfg)
    cfg.BRAVE.BROAD = ["video", "audio"]
    assert [name for name, _ in brave_from_config(cfg).named_children() if "broad" in name] == ["broad_audio"]
