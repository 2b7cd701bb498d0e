"""Learning-rate schedules as pure functions of the step."""

import math
from collections.abc import Callable, Sequence

from stica_pv.errors import UsageError, check_choice

Schedule = Callable[[int], float]

POLICIES = ("constant", "cosine", "steps_with_relative_lrs")


def create_schedule(
    *,
    policy: str,
    base_lr: float,
    total_steps: int,
    warmup_steps: int = 0,
    warmup_start_lr: float = 0.0,
    cosine_end_lr: float = 0.0,
    cosine_after_warmup: bool = True,
    milestones: Sequence[int] = (),
    factors: Sequence[float] = (),
) -> Schedule:
    """Builds the learning rate of every step: linear warm-up per step, then the policy.

    Args:
        policy: ``constant``; ``cosine`` from base_lr to cosine_end_lr; ``steps_with_relative_lrs``:
            base_lr × factors[i] from milestones[i] on (SlowFast's name).
        base_lr: Peak, already scaled to the batch.
        total_steps: Length of the run.
        warmup_steps: Steps from warmup_start_lr to where the policy begins.
        warmup_start_lr: Learning rate of step 0 of a warm-up.
        cosine_end_lr: Learning rate at total_steps.
        cosine_after_warmup: The cosine begins where warm-up ends; otherwise it spans all steps, and warm-up rises to
            what it is by then (CVRL; SlowFast's SOLVER.COSINE_AFTER_WARMUP False).
        milestones: Steps, ascending from 0.
        factors: One for each milestone.
    """
    check_choice("SOLVER.LR_POLICY", policy, POLICIES)
    if base_lr < 0 or warmup_steps < 0:
        raise UsageError(f"SOLVER: BASE_LR and WARMUP_EPOCHS must be >= 0, got {base_lr} and {warmup_steps} steps")
    if policy == "steps_with_relative_lrs" and (
        not milestones
        or milestones[0] != 0
        or list(milestones) != sorted(milestones)
        or len(factors) != len(milestones)
    ):
        raise UsageError(
            "SOLVER.STEPS must ascend from 0 with one factor in SOLVER.LRS each, "
            f"got {list(milestones)} and {list(factors)}"
        )

    def after_warmup(step: int) -> float:
        if policy == "cosine":
            begin = warmup_steps if cosine_after_warmup else 0
            progress = min(1.0, (step - begin) / max(1, total_steps - begin))
            return cosine_end_lr + (base_lr - cosine_end_lr) * 0.5 * (1 + math.cos(math.pi * progress))
        if policy == "steps_with_relative_lrs":
            return base_lr * factors[max(i for i, milestone in enumerate(milestones) if step >= milestone)]
        return base_lr

    def schedule(step: int) -> float:
        if step < warmup_steps:
            return warmup_start_lr + (after_warmup(warmup_steps) - warmup_start_lr) * step / warmup_steps
        return after_warmup(step)

    return schedule
