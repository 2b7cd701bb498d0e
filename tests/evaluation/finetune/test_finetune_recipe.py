"""The recipe of fine-tuning: its learning rates compared with the published table, and its configuration."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import tiny_cfg

from stica_pv.engine.config import optimizer_from_config, peak_lr, schedule_from_config
from stica_pv.errors import UsageError
from stica_pv.evaluation.config import clip_format_from_config
from stica_pv.evaluation.finetune.recipe import identity, training_config
from stica_pv.registry import TASKS

PUBLISHED = (1, 4.5, 8, 8, 8, 8, 8, 0.4, 0.4, 0.4, 0.4, 0.02)  # multiples of 2.5e-3 and 2.5e-4, by epoch
STEPS = 10  # of an epoch


def training_of(tmp_path: Path, **overrides: Any):
    cfg = tiny_cfg(tmp_path, tmp_path / "out", **overrides)
    return training_config(cfg, classes=4, clip_format=clip_format_from_config(cfg))


def rates(tmp_path: Path, **overrides: Any) -> list[float]:
    schedule = schedule_from_config(training_of(tmp_path, **overrides), STEPS)
    return [schedule(step) for step in range(12 * STEPS)]


def test_the_released_schedule_is_the_published_table(tmp_path: Path):
    found = rates(tmp_path, TEST__FINETUNE__SCHEDULE="released")
    expected = [2.5e-3 * factor for factor in PUBLISHED for _ in range(STEPS)]
    assert found == pytest.approx(expected)


def test_trunk_and_pooling_head_learn_at_a_tenth(tmp_path: Path):
    cfg = training_of(tmp_path, POOL__NAME="transformer", POOL__HEADS=2)
    task = TASKS.get(cfg.TASK)(cfg)
    optimizer = optimizer_from_config(cfg, task.parameter_groups())
    scales = {group["name"]: (group["lr_scale"], group["weight_decay"]) for group in optimizer.param_groups}
    assert scales == {"classifier": (1.0, 5e-3), "backbone": (0.1, 5e-3), "pool": (0.1, 5e-3)}
    assert (optimizer.defaults["momentum"], optimizer.defaults["nesterov"]) == (0.9, False)


def test_the_intended_schedule_warms_up_by_the_step_and_falls_where_it_says(tmp_path: Path):
    found = rates(tmp_path)
    assert found[0] == pytest.approx(2.5e-3)
    assert found[STEPS] == pytest.approx((2.5e-3 + 0.02) / 2)
    assert found[2 * STEPS : 6 * STEPS] == pytest.approx([0.02] * 4 * STEPS)
    assert found[6 * STEPS : 10 * STEPS] == pytest.approx([0.001] * 4 * STEPS)
    assert found[10 * STEPS :] == pytest.approx([5e-5] * 2 * STEPS)


@pytest.mark.parametrize("schedule", ["intended", "released"])
def test_without_warm_up_it_begins_at_the_full_rate(tmp_path: Path, schedule: str):
    found = rates(tmp_path, TEST__FINETUNE__WARMUP_EPOCHS=0, TEST__FINETUNE__SCHEDULE=schedule)
    assert found[0] == pytest.approx(0.02)


def test_the_rate_follows_the_batch(tmp_path: Path):
    assert peak_lr(training_of(tmp_path, TEST__FINETUNE__BATCH_SIZE=16)) == pytest.approx(0.01)
    fixed = training_of(tmp_path, TEST__FINETUNE__BATCH_SIZE=16, TEST__FINETUNE__LR_REFERENCE_BATCH=0)
    assert peak_lr(fixed) == pytest.approx(0.02)


def test_nothing_of_pre_trainings_own_training_is_left(tmp_path: Path):
    pretraining = {
        "SOLVER__OPTIMIZING_METHOD": "adamw",
        "SOLVER__MAX_EPOCH": 99,
        "SOLVER__WEIGHT_DECAY": 0.5,
        "SOLVER__CLIP_GRAD_L2NORM": 3.0,
        "TRAIN__GRAD_CACHE_CHUNK": 2,
        "TRAIN__MAX_STEPS": 5,
        "TRAIN__AUTO_RESUME": False,
        "DATA__GROUP_PATTERN": r"_g(\d+)_",
        "TRAIN__BATCH_SIZE": 64,
    }
    one, two = training_of(tmp_path), training_of(tmp_path, **pretraining)
    assert identity(one) == identity(two)
    for key in ("MAX_STEPS", "AUTO_RESUME", "GRAD_CACHE_CHUNK"):
        assert one.TRAIN[key] == two.TRAIN[key]
    assert (one.DATA.COLOR_RND_GRAYSCALE, one.DATA.BLUR_PROB, one.DATA.COLOR_JITTER_PROB) == (0.0, 0.0, 0.8)


def test_another_recipe_has_another_identity(tmp_path: Path):
    one, two = training_of(tmp_path), training_of(tmp_path, TEST__FINETUNE__CLIPS_PER_VIDEO=14)
    assert identity(one) != identity(two)


def test_the_keys_of_the_networks_are_those_they_were_built_with(tmp_path: Path):
    cfg = tiny_cfg(tmp_path, tmp_path / "out")
    run = training_config(
        cfg, classes=4, clip_format=clip_format_from_config(cfg), networks=[("MODEL.WIDTH", 12), ("POOL.HEADS", 8)]
    )
    assert (run.MODEL.WIDTH, run.POOL.HEADS, run.MODEL.NUM_CLASSES) == (12, 8, 4)
    assert cfg.MODEL.WIDTH == 4


def test_a_clip_is_as_the_networks_want_it(tmp_path: Path):
    cfg = tiny_cfg(tmp_path, tmp_path / "out")
    clip_format = replace(
        clip_format_from_config(cfg), frames=6, fps=5.0, size=48, train_size=48, frame_choice="previous", short_size=64
    )
    run = training_config(cfg, classes=4, clip_format=clip_format)
    assert (run.DATA.NUM_FRAMES, run.DATA.TARGET_FPS, run.DATA.TRAIN_CROP_SIZE) == (6, 5.0, 48)
    assert (run.DATA.FRAME_CHOICE, run.DATA.DECODING_SHORT_SIZE) == ("previous", 64)


def test_colors_are_changed_as_fine_tuning_says_and_not_as_pre_training_did(tmp_path: Path):
    run = training_of(tmp_path, DATA__COLOR_JITTER_PROB=1.0)  # as GDT's
    assert run.DATA.COLOR_JITTER_PROB == 0.8
    assert training_of(tmp_path, TEST__FINETUNE__COLOR_JITTER_PROB=0.3).DATA.COLOR_JITTER_PROB == 0.3


def test_milestones_must_ascend(tmp_path: Path):
    with pytest.raises(UsageError, match="^TEST.FINETUNE gives an invalid training: SOLVER.STEPS must ascend"):
        training_of(tmp_path, TEST__FINETUNE__LR_STEPS="[6, 3]")
