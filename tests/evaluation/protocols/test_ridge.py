from collections.abc import Callable

import pytest
import torch.nn.functional as F
from planted_features import mixed_labels, planted
from torch import Tensor

from stica_pv.evaluation.protocols.ridge import RidgeProbe, choose_strength, ridge_scores
from stica_pv.evaluation.requests import FeatureRequest

PROBE = RidgeProbe("single_frame", FeatureRequest(clips=1), FeatureRequest(clips=1), 0.25)


@pytest.mark.parametrize("strength", [1e-3, 0.1, 10.0])
def test_ridge_agrees_with_scikit_learn(strength: float):
    linear_model = pytest.importorskip("sklearn.linear_model")
    items, test = planted(60, 0, spread=0.6), planted(40, 1, spread=0.6)
    rows = items.features[:, 0]
    centered = rows.double() - rows.double().mean(dim=0)
    alpha = strength * float((centered.mT @ centered).diagonal().mean())
    model = linear_model.Ridge(alpha=alpha).fit(rows.double().numpy(), F.one_hot(items.labels, 8).double().numpy())
    found = ridge_scores(rows, items.labels, test.features[:, 0], strength=strength)
    assert found.numpy() == pytest.approx(model.predict(test.features[:, 0].double().numpy()), abs=1e-5)


def test_planted_features_are_found_and_labels_that_mean_nothing_are_not():
    train, test = planted(128, 0), planted(400, 1)
    assert PROBE.score({"video": train}, {"video": test}, seed=0)[0].value == 100.0
    vague = mixed_labels(planted(400, 0, spread=2.0, siblings=1))
    assert 7 < PROBE.score({"video": vague}, {"video": planted(400, 1, spread=2.0)}, seed=0)[0].value < 19


def test_equal_rows_are_uninformative():
    train = planted(64, 0)
    train.features[:] = 1.0
    assert PROBE.score({"video": train}, {"video": planted(32, 1)}, seed=0)[0].value == 12.5


def test_the_strength_is_the_best_on_the_hold_out(monkeypatch: pytest.MonkeyPatch):
    items = planted(128, 0)
    assert choose_strength(items.features[:, 0], items, share=0.25, seed=0) == 1e-3  # the smallest of equals

    def good_at(wanted: float) -> Callable[..., Tensor]:
        return lambda rows, labels, queries, *, strength: queries if strength == wanted else -queries

    for wanted in (0.1, 10.0):
        monkeypatch.setattr("stica_pv.evaluation.protocols.ridge.ridge_scores", good_at(wanted))
        assert choose_strength(items.features[:, 0], items, share=0.25, seed=0) == wanted


def test_the_name_states_what_is_chosen_from():
    assert PROBE.name == ("single_frame (pooled video, 1 fixed view, L2, ridge one of 0.001, 0.1, 10 by 25 % hold-out)")
