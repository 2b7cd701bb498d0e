import builtins
import logging
from typing import Any

import pytest
import torch
from planted_features import planted

from stica_pv.errors import UsageError
from stica_pv.evaluation.protocols.linear_svm import fit_views

svm = pytest.importorskip("sklearn.svm")
linear_model = pytest.importorskip("sklearn.linear_model")
preprocessing = pytest.importorskip("sklearn.preprocessing")
pipeline = pytest.importorskip("sklearn.pipeline")


@pytest.mark.parametrize("cost", [1e-3, 1.0])
@pytest.mark.parametrize("count", [12, 48])  # fewer and more rows than features
def test_svm_agrees_with_scikit_learn(cost: float, count: int):
    items = planted(count, 0, spread=0.5, siblings=1)
    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(), svm.LinearSVC(C=cost, dual=count < 16, random_state=0)
    ).fit(items.features[:, 0].double(), items.labels)
    test = planted(20, 1, spread=0.5, views=1)
    expected = model.decision_function(test.features[:, 0].double())
    found = fit_views(items.features, items.labels, classifier="svm", cost=cost, standardize=True)
    assert found.scores(test.features).numpy() == pytest.approx(expected, abs=1e-6)


def test_logistic_regression_agrees_with_scikit_learn():
    items, test = planted(48, 0, spread=0.5), planted(20, 1, spread=0.5)
    model = linear_model.LogisticRegression(C=2.0, max_iter=1000).fit(items.features[:, 0].double(), items.labels)
    found = fit_views(items.features, items.labels, classifier="logistic", cost=2.0, standardize=False)
    expected = model.decision_function(test.features[:, 0].double())
    assert found.scores(test.features).numpy() == pytest.approx(expected, abs=1e-6)


def test_the_score_of_an_item_is_the_mean_of_the_decision_values_of_its_views():
    items, test = planted(48, 0, views=3), planted(20, 1, spread=0.5, views=5)
    found = fit_views(items.features, items.labels, classifier="svm", cost=0.1, standardize=True)
    single = torch.stack([found.scores(test.features[:, i : i + 1]) for i in range(5)])
    assert torch.allclose(found.scores(test.features), single.mean(dim=0))
    model = svm.LinearSVC(C=0.1, dual=False, random_state=0)
    rows = preprocessing.StandardScaler().fit(items.features.flatten(0, 1).double())
    model.fit(rows.transform(items.features.flatten(0, 1).double()), items.labels.repeat_interleave(3))
    expected = model.decision_function(rows.transform(test.features[:, 0].double()))
    assert single[0].numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_two_classes_have_a_score_each_and_absent_ones_none(classifier: str):
    items = planted(48, 0, classes=2)
    items.labels.mul_(2)  # classes 0 and 2; 1 is absent
    found = fit_views(items.features, items.labels, classifier=classifier, cost=1.0, standardize=False)
    scores = found.scores(items.features)
    assert scores.shape == (48, 3)
    assert torch.equal(scores.argmax(dim=1), items.labels)
    assert set(scores[:, 1].tolist()) == {-torch.inf}


def test_a_feature_that_never_changes_does_no_harm():
    items = planted(48, 0)
    items.features[..., 0], items.features[..., 1] = 0.1, 0.0
    items.features[:9, :, 0] += 1e-8  # the last bit of a float32
    found = fit_views(items.features, items.labels, classifier="svm", cost=1.0, standardize=True)
    assert float(found.scores(items.features + 0.5).abs().max()) < 1e3


def test_the_same_rows_give_the_same_classifier_and_torch_seeds_do_not_matter():
    items = planted(12, 0, spread=0.5, siblings=1)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(fit_views(items.features, items.labels, classifier="svm", cost=1.0, standardize=True))
    assert torch.equal(found[0].weight, found[1].weight)  # exact: the same code with the same shapes, twice


def test_one_class_and_an_unknown_classifier_are_refused():
    items = planted(12, 0, classes=1)
    with pytest.raises(UsageError, match="expected training items of at least two classes"):
        fit_views(items.features, items.labels, classifier="svm", cost=1.0, standardize=True)
    with pytest.raises(UsageError, match="did you mean svm"):
        fit_views(items.features, items.labels, classifier="svn", cost=1.0, standardize=True)


def test_a_solver_that_does_not_end_is_reported(caplog: pytest.LogCaptureFixture):
    items = planted(48, 0, spread=1.0)
    with caplog.at_level(logging.WARNING):
        fit_views(items.features, items.labels, classifier="logistic", cost=1e4, standardize=False, max_iterations=1)
    assert "logistic with C 10000" in caplog.text
    assert "failed to converge" in caplog.text


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    real = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    items = planted(12, 0)
    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match="svm needs scikit-learn: pip install"):
        fit_views(items.features, items.labels, classifier="svm", cost=1.0, standardize=True)
