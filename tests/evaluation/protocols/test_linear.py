from dataclasses import replace

import pytest
import torch
from planted_features import planted

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocols.linear import Linear
from stica_pv.evaluation.protocols.softmax import SoftmaxRecipe
from stica_pv.evaluation.requests import FeatureRequest

CPU = torch.device("cpu")
VIEWS = FeatureRequest(average=False)


def linear(*, unit_length: bool = True, lrs: tuple[float, ...] = (), epochs: int = 20) -> Linear:
    recipe = SoftmaxRecipe(epochs=epochs)
    return Linear("linear", VIEWS, replace(VIEWS, spatial_crops=3), recipe, unit_length, lrs, 0.25, CPU)


def test_the_name_states_the_recipe():
    assert linear().name == (
        "linear (pooled video, 10 fixed -> 30 fixed views, L2, lr 32 x batch/1024, batch 1024, 20 epochs)"
    )
    plain = linear(unit_length=False, lrs=(0.1, 1.0)).name
    assert "no L2, lr one of 0.1, 1 by 25 % hold-out x batch/1024" in plain


def test_unit_length_makes_the_scale_of_features_meaningless():
    train, test = planted(64, 0, views=2), planted(32, 1, views=2)
    loud = FeatureSet(train.features * torch.rand(64, 2, 1).add(0.5) * 1000, train.labels, train.groups)
    found = [linear().fit(part, seed=0).weight for part in (train, loud)]
    assert torch.allclose(*found, atol=1e-4)
    plain = linear(unit_length=False)
    assert not torch.allclose(plain.fit(train, seed=0).weight, plain.fit(loud, seed=0).weight, atol=1e-2)
    assert linear().score({"video": loud}, {"video": test}, seed=0)[0].value == 100.0


def test_a_learning_rate_that_learns_nothing_is_not_chosen():
    train = planted(128, 0, spread=0.3)
    assert linear(lrs=(1e-9, 32.0)).choose_lr(train, seed=0) == 32.0
    assert linear(lrs=(16.0, 32.0)).choose_lr(planted(128, 0, spread=0.0), seed=0) == 16.0  # the smaller of equals


def test_one_learning_rate_needs_no_hold_out():
    train = planted(8, 0, classes=2)  # one source a class
    assert linear(lrs=(4.0,)).choose_lr(train, seed=0) == 4.0


def test_the_choice_sees_no_sibling_of_what_it_is_fitted_to(monkeypatch: pytest.MonkeyPatch):
    """Features that separate sources and nothing else: siblings on both sides would make any choice look perfect."""
    groups = torch.arange(64) // 4
    train = FeatureSet(torch.eye(16)[groups].unsqueeze(1), groups % 2, groups)
    received = []
    monkeypatch.setattr(
        "stica_pv.evaluation.splits.top_k_hits",
        lambda scores, labels, k: received.append((scores.argmax(dim=1) == labels).double().mean()) or scores[:, 0],
    )
    linear(lrs=(1.0, 32.0)).choose_lr(train, seed=0)
    assert max(received) < 0.8
