"""What protocols on the features of one modality share."""

from collections.abc import Mapping
from typing import ClassVar, Protocol

from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.protocol import FeatureProtocol
from stica_pv.evaluation.requests import FeatureRequest, Requests


class OneModalityProtocol(FeatureProtocol, Protocol):
    """A protocol that is an `OneModality`, with its score."""

    @property
    def train(self) -> FeatureRequest: ...  # noqa: D102 - described below

    @property
    def test(self) -> FeatureRequest: ...  # noqa: D102

    @property
    def compares_modalities(self) -> bool: ...  # noqa: D102


class OneModality:
    """A protocol with one request for the training items and one for the test items.

    Attributes:
        train: Request for the training items.
        test: Request for the test items.
        compares_modalities: Whether features of one modality can be compared with those of another that share a space.
    """

    train: FeatureRequest
    test: FeatureRequest
    compares_modalities: ClassVar[bool] = False

    def train_requests(self) -> Requests:
        """Return the request for the training items by its modality."""
        return {self.train.modality: self.train}

    def test_requests(self) -> Requests:
        """Return the request for the test items by its modality."""
        return {self.test.modality: self.test}

    def single_label_sets(
        self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], evaluation: str
    ) -> tuple[FeatureSet, FeatureSet]:
        """Return the training and the test items, with one label each.

        Raises:
            UsageError: The data set is multi-label.
        """
        sets = train[self.train.modality], test[self.test.modality]
        if any(items.labels.ndim != 1 for items in sets):
            raise UsageError(f"{evaluation} needs one label per item, got several: use audio_mlp or cross_modal")
        return sets
