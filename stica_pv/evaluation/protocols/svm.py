"""A linear SVM on frozen features of videos or of audio, with C chosen on a hold-out or fixed."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric
from stica_pv.evaluation.protocols.linear_svm import ViewClassifier, fit_views
from stica_pv.evaluation.protocols.one_modality import OneModality
from stica_pv.evaluation.protocols.requests import describe_views
from stica_pv.evaluation.ranking import top_k_metrics
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.evaluation.splits import choose_on_holdout, describe_choice


@dataclass(frozen=True)
class Svm(OneModality):
    """One-against-rest SVM on every view (clip, crop or window of audio); an item's score is the mean over its views.

    Attributes:
        evaluation: Registered name.
        train: Views of a training item, all of them used.
        test: Views of a test item.
        costs: Values of C; several are compared on a grouped hold-out of the training items.
        standardize: Whether to standardize features by the rows that the SVM is fitted to.
        holdout_share: Share of training items to hold out for the choice.
    """

    evaluation: str
    train: FeatureRequest
    test: FeatureRequest
    costs: tuple[float, ...]
    standardize: bool
    holdout_share: float
    processed: bool = False

    @property
    def name(self) -> str:
        """Exact name of the protocol."""
        return (
            f"{self.evaluation} ({describe_views(self.train, self.test)}, "
            f"{'standardized' if self.standardize else 'not standardized'}, LinearSVC, "
            f"C {describe_choice(self.costs, self.holdout_share)}, mean decision value)"
        )

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        """Return top1 and top5."""
        fitted, items = self.single_label_sets(train, test, self.evaluation)
        classifier = self.fit(fitted, seed=seed)
        return top_k_metrics(classifier.scores(items.features), items.labels)

    def fit(self, train: FeatureSet, *, seed: int) -> ViewClassifier:
        """Fit to all training items, with the best C if there are several."""
        return self._fit(train, self.choose_cost(train, seed=seed))

    def choose_cost(self, train: FeatureSet, *, seed: int) -> float:
        """Return the C that is best on held-out groups of the training items, the smallest of equals."""

        def scores(cost: float, fitted: FeatureSet, chosen_by: FeatureSet) -> Tensor:
            return self._fit(fitted, cost).scores(chosen_by.features)

        return choose_on_holdout(
            self.costs, train, scores, share=self.holdout_share, seed=seed, what=f"{self.evaluation}: C"
        )

    def _fit(self, train: FeatureSet, cost: float) -> ViewClassifier:
        return fit_views(train.features, train.labels, classifier="svm", cost=cost, standardize=self.standardize)
