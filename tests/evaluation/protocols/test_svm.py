import pytest
import torch
from planted_features import planted

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocols.svm import Svm
from stica_pv.evaluation.requests import FeatureRequest

pytest.importorskip("sklearn")

WINDOWS = FeatureRequest(modality="audio", average=False)


def svm(*costs: float, standardize: bool = True) -> Svm:
    return Svm("svm", WINDOWS, WINDOWS, costs, standardize, 0.25)


def test_the_name_states_how_c_came_about():
    assert svm(1e-4).name == (
        "svm (pooled audio, 10 fixed views, standardized, LinearSVC, C 0.0001, mean decision value)"
    )
    assert (
        "not standardized, LinearSVC, C one of 0.1, 1 by 25 % hold-out, mean" in svm(0.1, 1.0, standardize=False).name
    )


def test_a_cost_that_learns_nothing_is_not_chosen():
    """The class is in the smallest feature; with a tiny C the large ones, which mean nothing, leave it unseen."""
    items = planted(128, 0, spread=0.05)
    features = torch.cat(
        [items.features * 1e-3, torch.randn(128, 1, 4, generator=torch.Generator().manual_seed(1))], dim=2
    )
    train = FeatureSet(features, items.labels, items.groups)
    assert svm(1e-6, 1e5, standardize=False).choose_cost(train, seed=0) == 1e5


def test_of_equal_costs_the_smallest_is_chosen():
    assert svm(1.0, 0.1, 10.0).choose_cost(planted(128, 0), seed=0) == 0.1


def test_one_cost_needs_no_hold_out():
    assert svm(0.1).choose_cost(planted(8, 0, classes=2), seed=0) == 0.1


def test_the_hold_out_is_standardised_by_what_the_svm_is_fitted_to(monkeypatch: pytest.MonkeyPatch):
    from stica_pv.evaluation.protocols import svm as module

    sizes = []
    real = module.fit_views
    monkeypatch.setattr(
        module, "fit_views", lambda features, *args, **kw: sizes.append(len(features)) or real(features, *args, **kw)
    )
    svm(0.1, 1.0).fit(planted(128, 0), seed=0)
    assert sizes[:2] == [96, 96]
    assert sizes[2] == 128


def test_windows_are_outvoted_together():
    """A recording of which two windows of three are of its class is recognized by the mean of its scores."""
    train = planted(64, 0, views=3)
    test = planted(32, 1, views=3)
    test.features[:, 0] = test.features[:, 0].roll(4, dims=0)  # one window is of the neighboring class
    found = svm(1.0).score({"audio": train}, {"audio": test}, seed=0)
    assert found[0].value == 100.0
    only = FeatureSet(test.features[:, :1], test.labels, test.groups)
    assert svm(1.0).score({"audio": train}, {"audio": only}, seed=0)[0].value < 20.0
