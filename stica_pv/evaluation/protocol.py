"""What a protocol is made of, and the rows it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric
from stica_pv.evaluation.requests import Requests


class DescribedProtocol(Protocol):
    """What the rows of any protocol tell of it.

    Attributes:
        name: Exact and unique.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    def test_requests(self) -> Requests:
        """Views of the test items, by modality."""


class FeatureProtocol(Protocol):
    """A protocol on frozen features: a pure function of training and test features.

    Attributes:
        name: Exact and unique; tells protocols apart in results: ``linear (L2, lr 32 per 1024)``.
        processed: Whether features are processed beforehand, raw, centered or standardized by the training rows (see
            `stica_pv.evaluation.normalization`; rows are not scaled to unit length there). False: the protocol does as
            its name declares.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    @property
    def processed(self) -> bool: ...  # noqa: D102

    def train_requests(self) -> Requests:
        """What it wants of the training items, by modality."""

    def test_requests(self) -> Requests:
        """What it wants of the test items, by modality."""

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> Sequence[Metric]:
        """Measures one encoder.

        Args:
            train: Training items by modality; nothing but them may be learned from or chosen by.
            test: Test items by modality; no item is in both.
            seed: Of whatever is drawn.

        Returns:
            Measures over all test items in their order, the same names whatever the features.
        """


@dataclass(frozen=True)
class Row:
    """One number of the results, with all that it must not be separated from.

    Attributes:
        evaluation: Registered name.
        protocol: Exact name of the protocol.
        metric: ``R@1``, ``top1``, ``mAP`` …
        model: Whose score.
        processing: Of the features: ``raw``, ``centered``, ``standardized``; ``-``: the protocol declares its own.
        dataset: Name of the data set.
        dataset_hash: Of its items, labels and folds.
        fold: Name of the fold, or ``mean`` over all folds.
        value: The score, in % unless the measure says else.
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


MEAN = "mean"
"""`Row.fold` of the mean over all folds."""

NOBODY = ""
"""`Row.model` of a number that is no encoder's."""
