"""Few labels: linear classifiers on n training items per class, over several random samples."""

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric, mean_metric
from stica_pv.evaluation.protocols.linear_svm import ViewClassifier, fit_views
from stica_pv.evaluation.protocols.one_modality import OneModality
from stica_pv.evaluation.protocols.requests import describe_views
from stica_pv.evaluation.ranking import top_k_hits
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.keyed_random import generator
from stica_pv.progress import Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FewShot(OneModality):
    """Accuracy with n labeled items of each class: mean and standard deviation over samples.

    Attributes:
        train: Views of a training item, averaged.
        test: Views of a test item, averaged.
        shots: Values of n.
        draws: Random samples of the labeled items for each n.
        classifier: ``svm`` or ``logistic``, see `fit_views`.
        cost: C of the classifier, fixed: with one item per class nothing can be held out.
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
        """Exact name of the protocol."""
        views = describe_views(self.train, self.test)
        return f"few_shot ({views}, L2 -> mean -> L2, {self.classifier}, C {self.cost:g}, {self.draws} draws)"

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        """Return ``1-shot top1`` and its deviation between samples, ``1-shot top1 std``, for each n."""
        items, unseen = self.single_label_sets(train, test, "few_shot")
        features = _unit_length(unseen.features)
        metrics = []
        with Progress("few_shot", len(self.shots) * self.draws, unit="fits") as progress:
            for shots in self.shots:
                hits = []
                for draw in range(self.draws):
                    classifier = self.fit(items, shots, draw, seed=seed)
                    hits.append(top_k_hits(classifier.scores(features), unseen.labels, 1))
                    progress.add()
                metrics += sample_metrics(f"{shots}-shot top1", 100.0 * torch.stack(hits))
        return metrics

    def fit(self, train: FeatureSet, shots: int, draw: int, *, seed: int) -> ViewClassifier:
        """Fit to the items of one sample."""
        chosen = train.rows(sample_shots(train.labels, shots, draw=draw, seed=seed))
        features = _unit_length(chosen.features)
        return fit_views(features, chosen.labels, classifier=self.classifier, cost=self.cost, standardize=False)


def sample_shots(labels: Tensor, shots: int, *, draw: int, seed: int) -> Tensor:
    """Sample `shots` items of each class, or all of a smaller class; log the number of smaller classes.

    Args:
        labels: int64 (V,).
        shots: Items per class.
        draw: Index of the sample.
        seed: Seed of all samples.

    Returns:
        Indices, int64, ascending.
    """
    order = torch.randperm(len(labels), generator=generator("few shot", seed, shots, draw))
    by_class = order[labels[order].argsort(stable=True)]
    counts = labels.bincount()
    rank = torch.arange(len(labels)) - (counts.cumsum(dim=0) - counts)[labels[by_class]]
    short = counts[(counts > 0) & (counts < shots)]
    if len(short):
        _warn_small_classes(len(short), shots, int(short.min()))
    return by_class[rank < shots].sort().values


@functools.cache  # once, not for every sample and encoder
def _warn_small_classes(classes: int, shots: int, smallest: int) -> None:
    logger.warning(
        "few_shot: %d classes have fewer than %d training items (the smallest %d) and use all they have",
        *(classes, shots, smallest),
    )


def sample_metrics(name: str, per_draw: Tensor) -> list[Metric]:
    """Return the mean over samples and their standard deviation (with n - 1; none for one sample).

    Args:
        name: Name of the mean; that of the deviation is ``<name> std``.
        per_draw: Score of every test item in each sample (R, V).
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
