import math

import pytest
import torch
import torch.nn.functional as F
from planted_features import planted

from stica_pv.evaluation.protocols.softmax import LinearClassifier, SoftmaxRecipe, fit_softmax, lr_factor


def test_the_learning_rate_rises_in_a_line_and_falls_as_a_cosine_over_all_steps():
    factors = [lr_factor(step, total=100, warmup=5) for step in range(100)]
    top = 0.5 * (1 + math.cos(math.pi * 0.05))
    assert factors[:6] == pytest.approx([0, top / 5, 2 * top / 5, 3 * top / 5, 4 * top / 5, top])
    assert factors[50] == pytest.approx(0.5)
    assert factors[99] == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))
    assert lr_factor(0, total=10, warmup=0) == 1.0


def test_one_batch_without_momentum_is_gradient_descent_written_out():
    items = planted(24, 0, spread=0.5)
    recipe = SoftmaxRecipe(lr=100.0, batch_size=4096, epochs=3, warmup_share=0.0, momentum=0.0, weight_decay=0.01)
    found = fit_softmax(items.features, items.labels, classes=8, recipe=recipe, seed=0)
    x, y = items.features[:, 0], F.one_hot(items.labels, 8).float()
    weight, bias = torch.zeros(8, 16), torch.zeros(8)
    for step in range(3):
        lr = 100.0 * 24 / 1024 * lr_factor(step, total=3, warmup=0)
        error = ((x @ weight.mT + bias).softmax(dim=1) - y) / 24
        weight, bias = weight - lr * (error.mT @ x + 0.01 * weight), bias - lr * (error.sum(dim=0) + 0.01 * bias)
    assert torch.allclose(found.weight, weight, atol=1e-5)
    assert torch.allclose(found.bias, bias, atol=1e-5)


def test_trained_to_the_end_it_is_the_logistic_regression_of_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    items = planted(200, 0, spread=0.5)
    decay = 0.01
    recipe = SoftmaxRecipe(lr=300.0, batch_size=200, epochs=800, weight_decay=decay)
    found = fit_softmax(items.features, items.labels, classes=8, recipe=recipe, seed=0)
    # scikit-learn leaves the bias free; here it decays like the weights, as one more feature of 1 would
    x = F.pad(items.features[:, 0], (0, 1), value=1.0)
    model = linear_model.LogisticRegression(C=1 / (decay * 200), fit_intercept=False, max_iter=5000, tol=1e-8)
    model.fit(x, items.labels)
    assert torch.allclose(found.weight, torch.tensor(model.coef_[:, :-1]).float(), atol=2e-3)
    assert torch.allclose(found.bias, torch.tensor(model.coef_[:, -1]).float(), atol=2e-3)


def test_probabilities_are_averaged_over_views():
    classifier = LinearClassifier(torch.eye(2) * math.log(3.0), torch.zeros(2))
    features = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])  # 3 : 1 and 1 : 1
    assert classifier.probabilities(features)[0].tolist() == pytest.approx([(0.75 + 0.5) / 2, (0.25 + 0.5) / 2])


def test_each_epoch_sees_every_view_some_time():
    items = planted(8, 0, views=3, siblings=1)
    items.features[:, 1:] *= 0  # views without anything to learn from but the bias
    found = fit_softmax(items.features, items.labels, classes=8, recipe=SoftmaxRecipe(epochs=30), seed=0).probabilities(
        items.features[:, :1]
    )
    one = fit_softmax(
        items.features[:, :1], items.labels, classes=8, recipe=SoftmaxRecipe(epochs=30), seed=0
    ).probabilities(items.features[:, :1])
    share = found.gather(1, items.labels[:, None]) / one.gather(1, items.labels[:, None])
    assert bool((found.argmax(dim=1) == items.labels).all())
    assert bool((share < 0.99).all())


def test_the_seed_decides_all_and_the_state_of_torch_nothing():
    items = planted(100, 0, spread=0.5, views=2)
    recipe = SoftmaxRecipe(batch_size=16, epochs=3)
    found = []
    for state, seed in ((1, 5), (2, 5), (1, 6)):
        torch.manual_seed(state)
        found.append(fit_softmax(items.features, items.labels, classes=8, recipe=recipe, seed=seed).weight)
    assert torch.equal(found[0], found[1])  # exact: the same code with the same shapes, twice
    assert not torch.equal(found[0], found[2])


def test_training_works_where_gradients_are_switched_off():
    items = planted(16, 0)
    with torch.no_grad():
        found = fit_softmax(items.features, items.labels, classes=8, recipe=SoftmaxRecipe(epochs=2), seed=0)
    assert not found.weight.requires_grad
    assert float(found.weight.abs().sum()) > 0
