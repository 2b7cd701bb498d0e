"""A linear classifier on frozen features, trained by SGD: by CVRL's recipe, or plain with a chosen learning rate."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric
from stica_pv.evaluation.protocols.one_modality import OneModality
from stica_pv.evaluation.protocols.requests import describe_views
from stica_pv.evaluation.protocols.softmax import LinearClassifier, SoftmaxRecipe, fit_softmax
from stica_pv.evaluation.ranking import top_k_metrics
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.evaluation.splits import choose_on_holdout, describe_choice


@dataclass(frozen=True)
class Linear(OneModality):
    """Softmax regression on every view; test scores are the mean over views of the probabilities.

    Attributes:
        evaluation: Registered name.
        train: Views of a training item; each epoch uses a random one.
        test: Views of a test item.
        recipe: Training recipe.
        unit_length: Whether every view is scaled to unit length.
        lrs: Candidate learning rates, chosen on a grouped hold-out of the training items; empty: that of the recipe.
        holdout_share: Share of training items to hold out for the choice.
        device: Device of the training.
    """

    evaluation: str
    train: FeatureRequest
    test: FeatureRequest
    recipe: SoftmaxRecipe
    unit_length: bool
    lrs: tuple[float, ...]
    holdout_share: float
    device: torch.device
    processed: bool = True

    @property
    def name(self) -> str:
        """Exact name of the protocol."""
        lr = describe_choice(self.lrs or (self.recipe.lr,), self.holdout_share)
        decay = f", weight decay {self.recipe.weight_decay:g}" if self.recipe.weight_decay else ""
        return (
            f"{self.evaluation} ({describe_views(self.train, self.test)}, {'L2' if self.unit_length else 'no L2'}, "
            f"lr {lr} x batch/1024, batch {self.recipe.batch_size}, {self.recipe.epochs} epochs{decay})"
        )

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        """Return top1 and top5."""
        fitted, items = self.single_label_sets(train, test, self.evaluation)
        classifier = self.fit(fitted, seed=seed)
        return top_k_metrics(classifier.probabilities(self._rows(items.features)), items.labels)

    def fit(self, train: FeatureSet, *, seed: int) -> LinearClassifier:
        """Train on the training items, with the best learning rate if there are several."""
        lr = self.choose_lr(train, seed=seed) if self.lrs else self.recipe.lr
        return self._fit(train, lr, seed)

    def choose_lr(self, train: FeatureSet, *, seed: int) -> float:
        """Return the learning rate that is best on held-out groups of the training items, the smallest of equals."""

        def scores(lr: float, fitted: FeatureSet, chosen_by: FeatureSet) -> Tensor:
            return self._fit(fitted, lr, seed).probabilities(self._rows(chosen_by.features))

        return choose_on_holdout(
            self.lrs, train, scores, share=self.holdout_share, seed=seed, what=f"{self.evaluation}: lr"
        )

    def _fit(self, train: FeatureSet, lr: float, seed: int) -> LinearClassifier:
        return fit_softmax(
            self._rows(train.features),
            train.labels,
            classes=int(train.labels.max()) + 1,
            recipe=replace(self.recipe, lr=lr),
            seed=seed,
            device=self.device,
        )

    def _rows(self, features: Tensor) -> Tensor:
        return F.normalize(features, dim=-1) if self.unit_length else features
