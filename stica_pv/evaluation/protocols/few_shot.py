"""Few labels: linear classifiers on n training items of each class, over several draws of them."""

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric, mean_metric
from stica_pv.evaluation.protocols.linear_svm import ViewClassifier, fit_views
from stica_pv.evaluation.protocols.requests import describe_views, one_label_each
from stica_pv.evaluation.ranking import top_k_hits
from stica_pv.evaluation.requests import FeatureRequest, Requests
from stica_pv.keyed_random import generator

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FewShot:
    """Accuracy with n labeled items of each class: mean and standard deviation over draws.

    Attributes:
        train: Views of a training item, averaged.
        test: Views of a test item, averaged.
        shots: Values of n.
        draws: Draws of the labeled items for each n.
        classifier: ``svm`` or ``logistic``, see `fit_views`.
        cost: Its C, fixed: with one item of a class nothing can be held out.
    """

    train: FeatureRequest
    test: FeatureRequest
    shots: tuple[int, ...]
    draws: int
    classifier: str
    cost: float
    processed: bool = True

    @property
    def name(self) -> str:
        """Exact name."""
        views = describe_views(self.train, self.test)
        return f"few_shot ({views}, L2 -> mean -> L2, {self.classifier}, C {self.cost:g}, {self.draws} draws)"

    def train_requests(self) -> Requests:
        """The items to draw from."""
        return {self.train.modality: self.train}

    def test_requests(self) -> Requests:
        """The test items."""
        return {self.test.modality: self.test}

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        """``1-shot top1`` and its deviation between draws, ``1-shot top1 std``, for each n."""
        items = one_label_each(train[self.train.modality], "few_shot")
        unseen = one_label_each(test[self.test.modality], "few_shot")
        features = _unit_length(unseen.features)
        metrics = []
        for shots in self.shots:
            hits = [
                top_k_hits(self.fit(items, shots, draw, seed=seed).scores(features), unseen.labels, 1)
                for draw in range(self.draws)
            ]
            metrics += sample_metrics(f"{shots}-shot top1", 100.0 * torch.stack(hits))
        return metrics

    def fit(self, train: FeatureSet, shots: int, draw: int, *, seed: int) -> ViewClassifier:
        """Fits to the items of one draw."""
        chosen = train.rows(sample_shots(train.labels, shots, draw=draw, seed=seed))
        features = _unit_length(chosen.features)
        return fit_views(features, chosen.labels, classifier=self.classifier, cost=self.cost, standardize=False)


def sample_shots(labels: Tensor, shots: int, *, draw: int, seed: int) -> Tensor:
    """Draws `shots` items of each class, all of a class that has fewer; a log line names how many classes have.

    Args:
        labels: int64 (V,).
        shots: Items of a class.
        draw: Number of the draw.
        seed: Of all draws.

    Returns:
        Indices, int64, ascending.
    """
    order = torch.randperm(len(labels), generator=generator("few shot", seed, shots, draw))
    by_class = order[labels[order].argsort(stable=True)]
    counts = labels.bincount()
    rank = torch.arange(len(labels)) - (counts.cumsum(dim=0) - counts)[labels[by_class]]
    short = counts[(counts > 0) & (counts < shots)]
    if len(short):
        _tell(len(short), shots, int(short.min()))
    return by_class[rank < shots].sort().values


@functools.cache  # once, and not for every draw of every encoder
def _tell(classes: int, shots: int, smallest: int) -> None:
    logger.warning(
        "few_shot: %d classes have fewer than %d training items (the smallest %d) and use all they have",
        *(classes, shots, smallest),
    )


def sample_metrics(name: str, per_draw: Tensor) -> list[Metric]:
    """Returns the mean over draws and their standard deviation (with n - 1; none for one draw).

    Args:
        name: Of the mean; the deviation is called ``<name> std``.
        per_draw: Score of every test item in each draw (R, V).
    """
    values = per_draw.double()
    mean = mean_metric(name, values.mean(dim=0))
    if len(values) == 1:
        return [mean]

    def deviation(weights: Tensor) -> Tensor:
        return (weights @ values.mT / weights.sum(dim=1, keepdim=True)).std(dim=1)

    return [mean, Metric(f"{name} std", deviation, values.shape[1], paired_with=name)]


def _unit_length(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features, dim=-1)
