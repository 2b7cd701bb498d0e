from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from stica_pv.engine import create_optimizer
from stica_pv.engine.optimizer import set_lr
from stica_pv.errors import UsageError
from stica_pv.tasks import ParameterGroup


def one(value: float | list[float], **settings: Any) -> tuple[nn.Parameter, Optimizer]:
    parameter = nn.Parameter(torch.tensor(value, dtype=torch.float64))
    return parameter, create_optimizer([ParameterGroup("all", (parameter,))], **settings)


def step(parameter: nn.Parameter, optimizer: Optimizer, grad: float, lr: float) -> float:
    set_lr(optimizer, lr)
    parameter.grad = torch.full_like(parameter, grad)
    optimizer.step()
    return parameter.item()


def test_sgd_makes_the_written_out_steps():
    parameter, optimizer = one(1.0, method="sgd", momentum=0.9, weight_decay=0.1)
    # v = 0.9 v + (g + 0.1 w); w = w - lr v
    assert step(parameter, optimizer, grad=0.5, lr=0.1) == pytest.approx(1 - 0.1 * 0.6)  # v = 0.6, w = 0.94
    assert step(parameter, optimizer, grad=0.2, lr=0.1) == pytest.approx(0.94 - 0.1 * (0.54 + 0.2 + 0.094))


def test_nesterov_looks_one_step_ahead():
    parameter, optimizer = one(1.0, method="sgd", momentum=0.5, nesterov=True)
    assert step(parameter, optimizer, grad=1.0, lr=0.1) == pytest.approx(1 - 0.1 * (1 + 0.5))


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("restored", [False, True])
def test_fused_momentum_is_that_of_the_plain_steps_when_the_scaler_skips_the_first(
    nesterov: bool, restored: bool, monkeypatch: pytest.MonkeyPatch
):
    original = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda x, **settings: original(x, **settings).fill_(torch.nan))
    found = []
    for fused in (False, True):
        parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
        groups = [ParameterGroup("all", (parameter,))]
        settings = {"method": "sgd", "momentum": 0.9, "nesterov": nesterov, "weight_decay": 0.1, "fused": fused}
        optimizer = create_optimizer(groups, **settings)
        if restored:  # of a checkpoint that knows no momentum yet
            optimizer.load_state_dict({**optimizer.state_dict(), "state": {}})
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        for factor in (torch.inf, 3.0, 0.5):
            set_lr(optimizer, 0.1)
            optimizer.zero_grad()
            scaler.scale((parameter.square() * factor).sum()).backward()
            scaler.unscale_(optimizer)
            scaler.step(optimizer)
            scaler.update()
        found.append((parameter.detach(), optimizer.state[parameter]["momentum_buffer"]))
    torch.testing.assert_close(found[1], found[0])
    assert torch.isfinite(found[1][0]).all()


def test_adamw_makes_the_written_out_step():
    parameter, optimizer = one(2.0, method="adamw", weight_decay=0.1, betas=(0.8, 0.9))
    # decoupled decay, then the bias-corrected ratio, which is the sign of the gradient in the first step
    assert step(parameter, optimizer, grad=3.0, lr=0.01) == pytest.approx(2 * (1 - 0.01 * 0.1) - 0.01, rel=1e-6)


def test_groups_keep_their_share_of_the_learning_rate():
    fast, slow = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2, 2))
    optimizer = create_optimizer(
        [ParameterGroup("head", (fast,)), ParameterGroup("trunk", (slow,), lr_scale=0.1)], method="sgd"
    )
    set_lr(optimizer, 0.5)
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == pytest.approx(
        {"head": 0.5, "trunk": 0.05}
    )


def test_biases_and_norms_are_spared_from_decay_on_request():
    layer = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    groups = [ParameterGroup("all", tuple(layer.parameters()), lr_scale=2.0)]
    spared = create_optimizer(groups, method="adamw", weight_decay=0.3, decay_1d=False)
    found = {p.ndim: group for group in spared.param_groups for p in group["params"]}
    assert found[2]["weight_decay"] == 0.3
    assert found[1]["weight_decay"] == 0.0
    assert len(found[1]["params"]) == 3
    assert {group["lr_scale"] for group in spared.param_groups} == {2.0}


def test_everything_decays_by_default():
    layer = nn.Linear(3, 2)
    optimizer = create_optimizer([ParameterGroup("all", tuple(layer.parameters()))], method="sgd", weight_decay=0.3)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3]


def test_a_fresh_optimizer_does_nothing_before_a_learning_rate_is_set():
    parameter, optimizer = one(1.0, method="sgd")
    parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert parameter.item() == 1.0


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "sdg"},
        {"method": "sgd", "nesterov": True, "momentum": 0.0},
        {"method": "sgd", "momentum": -0.1},
        {"method": "adamw", "betas": (0.9, 1.5)},
        {"method": "adamw", "weight_decay": -1.0},
    ],
    ids=repr,
)
def test_settings_that_no_optimizer_takes_are_a_usage_error(settings: dict[str, Any]):
    with pytest.raises(UsageError, match="SOLVER"):
        one([1.0], **settings)
