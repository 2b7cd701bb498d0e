"""What an evaluation is made of: what it asks to be extracted, what it measures, and the rows it gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Measure
from stica_pv.tasks.windows import ShortVideos

if TYPE_CHECKING:  # the bench runs evaluations, and evaluations are written in terms of the bench
    from stica_pv.evaluation.context import Bench

Modality = Literal["video", "audio"]
Layer = Literal["map", "map_max", "pooled", "projected"]
TestTransform = Literal["fixed", "released", "random_crop", "augmented"]
Starts = Literal["spaced", "released"]

MODALITIES: tuple[Modality, ...] = ("video", "audio")
LAYERS: tuple[Layer, ...] = ("map", "map_max", "pooled", "projected")
MAPS: tuple[Layer, ...] = ("map", "map_max")
TEST_TRANSFORMS: tuple[TestTransform, ...] = ("fixed", "released", "random_crop", "augmented")
STARTS: tuple[Starts, ...] = ("spaced", "released")
TRAINING_TRANSFORMS: tuple[TestTransform, ...] = ("random_crop", "augmented")


@dataclass(frozen=True)
class FeatureRequest:
    """What to extract of each item; equal requests are extracted once.

    Attributes:
        modality: ``video`` or ``audio``.
        layer: ``map``: the last feature map, flattened; ``map_max``: the same after max-pooling, 2 × 2 × 2 with stride
            2 for pictures (SeLaVi), 3 with stride 2 along time for sound (GDT); ``pooled``: the vector before the
            projection head; ``projected``: the embedding that the loss compares.
        clips: Windows of an item, equally spaced; one lies in the middle.
        spatial_crops: 1: centre; 3: both ends of the longer side too. Without meaning for sound.
        transform: ``fixed``: the short side is scaled to the clip, draws nothing; ``released``: STiCA's test as
            released, random scale and colours; ``random_crop``: the training's crop and flip on the same windows
            (SeLaVi's gallery); ``augmented``: windows drawn at random too, and the training's colours without blur.
            The last two have the size of the training's views. Draws are keyed by item. Without meaning for sound, but
            that ``augmented`` draws its windows.
        starts: Of the clips; ``spaced``: from the first to the last possible one; ``released``: the whole frame at or
            before k / clips of the slack, k = 0, 1, …, so that the last share of it is never seen.
        short_videos: What becomes of an item shorter than a clip; ``loop``: it is played again; ``repeat_last``: its
            last frame stays.
        average: True: the mean over views of unit rows, (V, 1, D); False: every view as it is, (V, N, D).
    """

    modality: Modality = "video"
    layer: Layer = "pooled"
    clips: int = 10
    spatial_crops: int = 1
    transform: TestTransform = "fixed"
    starts: Starts = "spaced"
    short_videos: ShortVideos = "loop"
    average: bool = True

    @property
    def views(self) -> int:
        """Number of views of an item."""
        return self.clips * (self.spatial_crops if self.modality == "video" else 1)


Requests = Mapping[Modality, FeatureRequest]


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
        processed: Whether features are processed beforehand, raw, centred or standardised by the training rows (see
            `stica_pv.evaluation.normalization`; rows are not scaled to unit length there). False: the protocol does as its
            name declares.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    @property
    def processed(self) -> bool: ...  # noqa: D102

    def train_requests(self) -> Requests:
        """What it wants of the training items, by modality."""

    def test_requests(self) -> Requests:
        """What it wants of the test items, by modality."""

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> Sequence[Measure]:
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
        measure: ``R@1``, ``top1``, ``mAP`` …
        contestant: Whose score.
        processing: Of the features: ``raw``, ``centred``, ``standardised``; ``-``: the protocol declares its own.
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
    measure: str
    contestant: str
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
"""`Row.contestant` of a number that is no encoder's."""


class Evaluation(Protocol):
    """One entry of TEST.EVALUATIONS. Registered in EVALUATIONS is a builder, from the configuration to this.

    Attributes:
        name: Registered name.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    def run(self, bench: "Bench") -> list[Row]:
        """Runs on every process of the run; the main one's rows count, the others may return none."""
