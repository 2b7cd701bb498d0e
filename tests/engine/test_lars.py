import copy
from typing import Any

import pytest
import torch
from torch import nn

from stica_pv.engine import create_optimizer
from stica_pv.engine.lars import LARS
from stica_pv.engine.optimizer import set_lr
from stica_pv.errors import UsageError
from stica_pv.tasks import ParameterGroup

TRUST, DECAY, MOMENTUM = 0.02, 0.1, 0.9


def slow_step(
    p: list[float], g: list[float], v: list[float], *, lr: float, scaled: bool, nesterov: bool, grad_scale: float = 1.0
) -> tuple[list[float], list[float]]:
    """One step in plain numbers, in the order of BraVe's release; returns p and the buffer v."""
    g = [grad_scale * b for b in g]
    if scaled:
        g = [b + DECAY * a for a, b in zip(p, g, strict=True)]
        length, slope = sum(a * a for a in p) ** 0.5, sum(b * b for b in g) ** 0.5
        ratio = TRUST * length / slope if length > 0 and slope > 0 else 1.0
        g = [b * ratio for b in g]
    u = [-lr * b for b in g]
    v = [MOMENTUM * old + new for old, new in zip(v, u, strict=True)]
    moves = [new + MOMENTUM * buffer for new, buffer in zip(u, v, strict=True)] if nesterov else v
    return [a + move for a, move in zip(p, moves, strict=True)], v


def parts(mask: str, nesterov: bool, lr_scale: float = 1.0) -> tuple[nn.Parameter, nn.Parameter, torch.optim.Optimizer]:
    rng = torch.Generator().manual_seed(0)
    weight, bias = (nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=rng)) for shape in ((2, 3), (3,)))
    optimizer = create_optimizer(
        [ParameterGroup("all", (weight, bias), lr_scale)],
        method="lars",
        momentum=MOMENTUM,
        nesterov=nesterov,
        weight_decay=DECAY,
        lars_mask=mask,
        lars_trust=TRUST,
    )
    return weight, bias, optimizer


@pytest.mark.parametrize("mask", ["intended", "released"])
@pytest.mark.parametrize("nesterov", [True, False])
def test_three_steps_equal_those_written_out(mask: str, nesterov: bool) -> None:
    weight, bias, optimizer = parts(mask, nesterov, lr_scale=10.0)
    rng = torch.Generator().manual_seed(1)
    slow = {id(p): (p.flatten().tolist(), [0.0] * p.numel()) for p in (weight, bias)}
    for lr in (0.3, 0.7, 0.2):  # the rate enters the buffer
        set_lr(optimizer, lr)
        for p in (weight, bias):
            p.grad = torch.randn(p.shape, dtype=torch.float64, generator=rng)
            slow[id(p)] = slow_step(
                slow[id(p)][0],
                p.grad.flatten().tolist(),
                slow[id(p)][1],
                lr=lr * (10 if mask == "intended" else 1),
                scaled=(p is weight) == (mask == "intended"),
                nesterov=nesterov,
                grad_scale=10 if mask == "released" else 1,
            )
        given = weight.grad.clone()
        optimizer.step()
        assert torch.equal(weight.grad, given)  # exact: left alone, not calculated
        for p in (weight, bias):
            assert p.flatten().tolist() == pytest.approx(slow[id(p)][0], rel=1e-12)


def test_a_factor_speeds_weights_up_only_if_it_is_on_the_rate() -> None:
    moves = {}
    for mask in ("intended", "released"):
        for scale in (1.0, 10.0):
            weight, _, optimizer = parts(mask, nesterov=False, lr_scale=scale)
            before = weight.detach().clone()
            weight.grad = torch.ones_like(weight)
            set_lr(optimizer, 0.1)
            optimizer.step()
            moves[mask, scale] = (weight.detach() - before).norm().item()
    assert moves["intended", 10.0] == pytest.approx(10 * moves["intended", 1.0])
    assert moves["released", 10.0] == pytest.approx(10 * moves["released", 1.0])  # weights are not scaled by length


def test_a_step_is_a_share_of_the_length_whatever_the_gradient() -> None:
    weight, _, optimizer = parts("intended", nesterov=False)
    length = weight.norm().item()
    before = weight.detach().clone()
    weight.grad = 1e6 * torch.randn(2, 3, dtype=torch.float64)
    set_lr(optimizer, 0.5)
    optimizer.step()
    assert (weight.detach() - before).norm().item() == pytest.approx(0.5 * TRUST * length)


@pytest.mark.parametrize(("value", "grad"), [(0.0, 2.0), (0.0, 0.0)])
def test_a_weight_or_gradient_of_zero_gets_a_plain_step(value: float, grad: float) -> None:
    weight = nn.Parameter(torch.full((2, 2), value))
    optimizer = LARS([{"params": [weight]}], lr=0.1, momentum=0.0)
    weight.grad = torch.full((2, 2), grad)
    optimizer.step()
    assert torch.allclose(weight, torch.full((2, 2), value - 0.1 * grad))


def test_a_run_goes_on_from_its_state_as_if_undisturbed() -> None:
    def gradients(p: nn.Parameter, step: int) -> None:
        p.grad = torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(step))

    straight, _, optimizer = parts("intended", nesterov=True)
    for step in range(4):
        if step == 2:
            weight, content = straight.detach().clone(), copy.deepcopy(optimizer.state_dict())
            again, _, resumed = parts("intended", nesterov=True)
            again.data.copy_(weight)
            resumed.load_state_dict(content)
        gradients(straight, step)
        set_lr(optimizer, 0.1)
        optimizer.step()
        if step >= 2:
            gradients(again, step)
            set_lr(resumed, 0.1)
            resumed.step()
    assert torch.equal(straight, again)  # exact: the same code with the same shapes, interrupted or not


def test_a_parameter_without_gradient_stays() -> None:
    weight, bias, optimizer = parts("intended", nesterov=True)
    before = weight.detach().clone()
    bias.grad = torch.ones_like(bias)
    set_lr(optimizer, 0.1)
    optimizer.step()
    assert torch.equal(weight, before)  # exact: left alone, not calculated
    assert not torch.equal(bias, torch.ones_like(bias))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lars_mask": "intend"}, r"SOLVER.LARS_MASK: got 'intend' \(did you mean intended\?\)"),
        ({"lars_trust": 0.0}, "trust coefficient above 0"),
        ({"momentum": 0.0, "nesterov": True}, "above 0 with Nesterov"),
        ({"momentum": 1.0}, "momentum from 0 to less than 1"),
        ({"fused": True}, "SOLVER.FUSED: lars has no fused kernels"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        create_optimizer([ParameterGroup("all", (nn.Parameter(torch.ones(2, 2)),))], method="lars", **settings)
