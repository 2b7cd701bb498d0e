import math

import pytest

from stica_pv.defaults import get_cfg
from stica_pv.engine import create_schedule
from stica_pv.engine.config import peak_lr, schedule_from_config
from stica_pv.errors import UsageError


def test_warm_up_rises_by_the_same_amount_each_step_and_ends_at_the_peak():
    lr = create_schedule(policy="constant", base_lr=1.0, total_steps=10, warmup_steps=4, warmup_start_lr=0.2)
    assert [lr(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


def test_constant_without_warm_up_is_the_base_rate_from_the_first_step():
    lr = create_schedule(policy="constant", base_lr=0.3, total_steps=10)
    assert {lr(step) for step in range(10)} == {0.3}


def test_cosine_falls_from_the_peak_after_warm_up_to_its_end_and_stays_there():
    lr = create_schedule(policy="cosine", base_lr=2.0, total_steps=12, warmup_steps=2, cosine_end_lr=0.5)
    assert lr(2) == pytest.approx(2.0)
    assert lr(7) == pytest.approx(1.25)  # half-way
    for step in range(2, 12):
        assert lr(step) == pytest.approx(0.5 + 0.75 * (1 + math.cos(math.pi * (step - 2) / 10)))
    assert lr(12) == lr(99) == pytest.approx(0.5)


def test_a_cosine_over_all_steps_has_the_learning_rates_of_cvrl():
    steps, warmup = 71_488, 1_787  # 200 epochs and 5
    lr = create_schedule(
        policy="cosine", base_lr=0.32, total_steps=steps, warmup_steps=warmup, cosine_after_warmup=False
    )
    quarters = [lr(steps * quarter // 4) for quarter in (1, 2, 3)]
    assert [round(rate, 5) for rate in (lr(warmup), *quarters)] == [0.31951, 0.27314, 0.16, 0.04686]
    assert lr(warmup // 2) == pytest.approx(lr(warmup) * (warmup // 2) / warmup)


def test_steps_multiply_the_base_rate_from_each_milestone_on():
    settings = {"policy": "steps_with_relative_lrs", "base_lr": 0.5, "total_steps": 30}
    lr = create_schedule(**settings, milestones=[0, 10, 20], factors=[1.0, 0.1, 0.01])
    assert [lr(step) for step in (0, 9, 10, 19, 20, 29)] == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005])


def test_warm_up_leads_to_the_rate_that_follows_it():
    lr = create_schedule(
        policy="steps_with_relative_lrs",
        base_lr=1.0,
        total_steps=9,
        warmup_steps=4,
        milestones=[0, 4],
        factors=[1, 0.5],
    )
    assert [lr(step) for step in (0, 2, 4)] == pytest.approx([0.0, 0.25, 0.5])


@pytest.mark.parametrize(
    ("milestones", "factors"), [([], []), ([5], [1.0]), ([0, 9, 3], [1, 1, 1]), ([0, 5], [1.0])], ids=repr
)
def test_steps_that_make_no_schedule_are_refused(milestones: list[int], factors: list[float]):
    with pytest.raises(UsageError, match=r"SOLVER\.STEPS must ascend from 0"):
        create_schedule(
            policy="steps_with_relative_lrs", base_lr=1.0, total_steps=9, milestones=milestones, factors=factors
        )


def test_unknown_policy_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean cosine"):
        create_schedule(policy="cosin", base_lr=1.0, total_steps=1)


def test_negative_learning_rate_is_refused():
    with pytest.raises(UsageError, match="BASE_LR"):
        create_schedule(policy="constant", base_lr=-1.0, total_steps=1)


@pytest.mark.parametrize(("batch", "reference", "lr"), [(8, 8, 0.01), (512, 8, 0.64), (4, 8, 0.005), (512, 0, 0.01)])
def test_peak_scales_with_the_global_batch(batch: int, reference: int, lr: float):
    cfg = get_cfg()
    cfg.SOLVER.BASE_LR, cfg.SOLVER.LR_REFERENCE_BATCH, cfg.TRAIN.BATCH_SIZE = 0.01, reference, batch
    assert peak_lr(cfg) == pytest.approx(lr)


def test_settings_in_epochs_become_steps():
    cfg = get_cfg()
    cfg.TRAIN.BATCH_SIZE, cfg.SOLVER.BASE_LR, cfg.SOLVER.LR_REFERENCE_BATCH = 16, 0.5, 8
    cfg.SOLVER.LR_POLICY, cfg.SOLVER.STEPS, cfg.SOLVER.LRS = "steps_with_relative_lrs", [0, 3], [1.0, 0.1]
    cfg.SOLVER.WARMUP_EPOCHS, cfg.SOLVER.WARMUP_START_LR = 0.5, 0.0
    lr = schedule_from_config(cfg, steps_per_epoch=10)
    assert [lr(step) for step in (0, 1, 5, 29, 30)] == pytest.approx([0.0, 0.2, 1.0, 1.0, 0.1])


def test_warm_up_never_starts_above_the_peak():
    cfg = get_cfg()
    cfg.TRAIN.BATCH_SIZE, cfg.SOLVER.BASE_LR, cfg.SOLVER.WARMUP_START_LR = 2, 0.01, 0.01
    lr = schedule_from_config(cfg, steps_per_epoch=10)
    assert lr(0) == lr(200) == pytest.approx(0.0025)
