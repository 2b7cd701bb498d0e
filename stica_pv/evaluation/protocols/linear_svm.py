"""Linear classifiers of scikit-learn (extra ``eval``) on every view of an item; its score is the mean over views."""

import logging
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stica_pv.errors import UsageError, check_choice

logger = logging.getLogger(__name__)

CLASSIFIERS = ("svm", "logistic")


@dataclass(frozen=True)
class ViewClassifier:
    """A fitted linear classifier, one score for each class of the training items.

    Attributes:
        mean: float64 (D,), subtracted from each row.
        scale: float64 (D,), divisor of each row.
        weight: float64 (classes, D); 0 for classes without a training item.
        bias: float64 (classes,); -inf for classes without a training item.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def scores(self, features: Tensor) -> Tensor:
        """Return the mean over views of the decision values: (V, N, D) -> float64 (V, classes)."""
        found = []
        for part in features.split(1024):  # in float64 all views at once would be large
            rows = (part.double() - self.mean) / self.scale
            found.append((rows @ self.weight.mT + self.bias).mean(dim=1))
        return torch.cat(found)


def fit_views(
    features: Tensor, labels: Tensor, *, classifier: str, cost: float, standardize: bool, max_iterations: int = 1000
) -> ViewClassifier:
    """Fit one linear classifier to all views of the training items, each with the label of its item.

    The fit is deterministic: the primal problem has one solution, and the dual one uses a fixed order.

    Args:
        features: float32 (V, N, D).
        labels: int64 (V,), at least two classes.
        classifier: ``svm``: LinearSVC, squared hinge, L2, one against the rest; ``logistic``: softmax regression, L2.
        cost: C of scikit-learn; larger is less regularized.
        standardize: Whether to center and scale rows by mean and standard deviation of all these views.
        max_iterations: Limit of the solver; a warning is logged if it is reached.

    Raises:
        UsageError: scikit-learn is not installed, or there is only one class.
    """
    check_choice("classifier", classifier, CLASSIFIERS)
    rows = features.flatten(0, 1).double()
    targets = labels.repeat_interleave(features.shape[1])
    if len(targets.unique()) < 2:
        raise UsageError(f"{classifier}: expected training items of at least two classes, got one")
    mean, scale = torch.zeros(rows.shape[1], dtype=torch.float64), torch.ones(rows.shape[1], dtype=torch.float64)
    if standardize:
        mean, scale = rows.mean(dim=0), rows.std(dim=0, correction=0)
        scale[scale <= 1e-6 * mean.abs()] = 1.0  # a constant feature, up to rounding
        scale[scale == 0] = 1.0
    model = _scikit_model(classifier, cost, few_rows=len(rows) < rows.shape[1], max_iterations=max_iterations)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(((rows - mean) / scale).numpy(), targets.numpy())
    for warning in caught:
        logger.warning("%s with C %g: %s", classifier, cost, " ".join(str(warning.message).split()))
    return _as_tensors(model, mean, scale, classes=int(labels.max()) + 1)


def _scikit_model(classifier: str, cost: float, *, few_rows: bool, max_iterations: int) -> Any:
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise UsageError(f"{classifier} needs scikit-learn: pip install scikit-learn, or -e '.[eval]'") from error
    if classifier == "logistic":
        return LogisticRegression(C=cost, max_iter=max_iterations)
    # Both forms have the same solution; which is the faster depends on the shape.
    return LinearSVC(C=cost, dual=few_rows, random_state=0, max_iter=max_iterations)


def _as_tensors(model: Any, mean: Tensor, scale: Tensor, *, classes: int) -> ViewClassifier:
    found = torch.from_numpy(model.classes_)
    weight, bias = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
    if len(found) == 2:  # scikit-learn keeps one row of scores for two classes
        weight, bias = torch.cat([-weight, weight]), torch.cat([-bias, bias])
    all_weight = torch.zeros(classes, weight.shape[1], dtype=torch.float64).index_copy_(0, found, weight.double())
    all_bias = torch.full((classes,), -torch.inf, dtype=torch.float64).index_copy_(0, found, bias.double())
    return ViewClassifier(mean, scale, all_weight, all_bias)
