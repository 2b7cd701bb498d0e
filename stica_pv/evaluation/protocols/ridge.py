"""Ridge regression onto one-hot classes in closed form: a quick linear probe."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric
from stica_pv.evaluation.protocols.one_modality import OneModality
from stica_pv.evaluation.protocols.requests import describe_views
from stica_pv.evaluation.protocols.retrieval import averaged_rows
from stica_pv.evaluation.ranking import top_k_metrics
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.evaluation.splits import choose_on_holdout, describe_choice

RIDGE_STRENGTHS = (1e-3, 1e-1, 10.0)


@dataclass(frozen=True)
class RidgeProbe(OneModality):
    """Linear probe whose strength is chosen on a grouped hold-out of the training items.

    Attributes:
        evaluation: Registered name.
        train: Views of a training item, averaged.
        test: Views of a test item, averaged.
        holdout_share: Share of training items to hold out.
    """

    evaluation: str
    train: FeatureRequest
    test: FeatureRequest
    holdout_share: float
    processed: bool = True

    @property
    def name(self) -> str:
        """Exact name of the protocol."""
        strength = describe_choice(RIDGE_STRENGTHS, self.holdout_share)
        return f"{self.evaluation} ({describe_views(self.train, self.test)}, L2, ridge {strength})"

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        """Return top1 and top5."""
        fitted, unseen = self.single_label_sets(train, test, self.evaluation)
        rows, queries = (F.normalize(averaged_rows(part), dim=1) for part in (fitted, unseen))
        strength = choose_strength(rows, fitted, share=self.holdout_share, seed=seed)
        return top_k_metrics(ridge_scores(rows, fitted.labels, queries, strength=strength), unseen.labels)


def choose_strength(rows: Tensor, train: FeatureSet, *, share: float, seed: int) -> float:
    """Return the strength that is best on held-out groups of the training rows (V, D), the smallest of equals."""

    def scores(strength: float, fitted: FeatureSet, chosen_by: FeatureSet) -> Tensor:
        return ridge_scores(fitted.features[:, 0], fitted.labels, chosen_by.features[:, 0], strength=strength)

    items = FeatureSet(rows.unsqueeze(1), train.labels, train.groups)
    return choose_on_holdout(RIDGE_STRENGTHS, items, scores, share=share, seed=seed, what="ridge strength")


def ridge_scores(rows: Tensor, labels: Tensor, queries: Tensor, *, strength: float) -> Tensor:
    """Return float64 scores (Q, classes) of a ridge regression onto one-hot classes, with an intercept.

    Args:
        rows: (V, D).
        labels: int64 (V,).
        queries: (Q, D).
        strength: Strength of the penalty, relative to the mean variance of the features times V.
    """
    classes = int(labels.max()) + 1
    x, y = rows.double(), F.one_hot(labels, classes).double()
    mean = x.mean(dim=0)
    centered = x - mean
    gram = centered.mT @ centered
    scale = gram.diagonal().mean().clamp(min=1e-12)  # equal rows give a constant classifier
    gram += strength * scale * torch.eye(len(gram), dtype=gram.dtype)
    weights = torch.linalg.solve(gram, centered.mT @ (y - y.mean(dim=0)))
    return (queries.double() - mean) @ weights + y.mean(dim=0)
