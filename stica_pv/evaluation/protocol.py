"""Interfaces of protocols, and the rows that they return."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric
from stica_pv.evaluation.requests import Requests


class DescribedProtocol(Protocol):
    """The description of a protocol in its rows.

    Attributes:
        name: Exact, unique name.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    def test_requests(self) -> Requests:
        """Return the views of the test items, by modality."""


class FeatureProtocol(Protocol):
    """A protocol on frozen features: a pure function of training and test features.

    Attributes:
        name: Exact, unique name in results: ``linear (L2, lr 32 per 1024)``.
        processed: Whether features are normalized before: raw, centered or standardized by the training rows (see
            `stica_pv.evaluation.normalization`; rows are not scaled to unit length). False: the protocol normalizes
            as its name declares.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    @property
    def processed(self) -> bool: ...  # noqa: D102

    def train_requests(self) -> Requests:
        """Return the requests for the training items, by modality."""

    def test_requests(self) -> Requests:
        """Return the requests for the test items, by modality."""

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> Sequence[Metric]:
        """Score one encoder.

        Args:
            train: Training items by modality; only they may be used to fit and to choose.
            test: Test items by modality, disjoint from the training items.
            seed: Seed of random choices.

        Returns:
            Metrics over all test items in order; the names do not depend on the features.
        """


@dataclass(frozen=True)
class Row:
    """One number of the results, with everything needed to interpret it.

    Attributes:
        evaluation: Registered name.
        protocol: Exact name of the protocol.
        metric: ``R@1``, ``top1``, ``mAP`` …
        model: Name of the model.
        processing: Normalization of the features: ``raw``, ``centered``, ``standardized``; ``-``: that of the protocol.
        dataset: Name of the data set.
        dataset_hash: Hash of its items, labels and folds.
        fold: Name of the fold, or ``mean`` over all folds.
        value: Score, in % unless the metric is named otherwise.
        low: Lower end of the 95 % interval over groups of test items.
        high: Upper end.
        n: Number of test items, unreadable ones included.
        groups: Number of sources of the test items.
        views: Views of a test item, as ``10 x 3``.
    """

    evaluation: str
    protocol: str
    metric: str
    model: str
    processing: str
    dataset: str
    dataset_hash: str
    fold: str
    value: float
    low: float
    high: float
    n: int
    groups: int
    views: str

    @property
    def interval(self) -> str:
        """The interval as text: ``91.2 to 98.1``."""
        return f"{self.low:.1f} to {self.high:.1f}"


MEAN = "mean"
"""`Row.fold` of the mean over all folds."""

NO_MODEL = ""
"""`Row.model` of a number without an encoder."""
