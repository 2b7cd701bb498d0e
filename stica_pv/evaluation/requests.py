"""Requests of features to extract from each item."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from stica_pv.transforms.windows import ShortVideos

Modality = Literal["video", "audio"]
Layer = Literal["map", "map_max", "tokens", "pooled", "projected"]
TestTransform = Literal["fixed", "released", "random_crop", "augmented"]
Starts = Literal["spaced", "released"]

MODALITIES: tuple[Modality, ...] = ("video", "audio")
BOTH = "video+audio"  # a value of TEST.MODALITY
LAYERS: tuple[Layer, ...] = ("map", "map_max", "pooled", "projected")  # those with one vector for each view
MAPS: tuple[Layer, ...] = ("map", "map_max")
TEST_TRANSFORMS: tuple[TestTransform, ...] = ("fixed", "released", "random_crop", "augmented")
STARTS: tuple[Starts, ...] = ("spaced", "released")
TRAINING_TRANSFORMS: tuple[TestTransform, ...] = ("random_crop", "augmented")


@dataclass(frozen=True)
class FeatureRequest:
    """A request of features of each item; equal requests are extracted once.

    Attributes:
        modality: ``video`` or ``audio``.
        layer: ``map``: the last feature map, flattened; ``map_max``: the map after max-pooling, 2 × 2 × 2 with stride
            2 for frames (SeLaVi), 3 with stride 2 along time for audio (GDT); ``tokens``: the cells of the map, a row
            for each, so that a clip of K cells has K rows; ``pooled``: the vector before the
            projection head; ``projected``: the embedding that the loss compares.
        clips: Number of windows of an item, equally spaced; a single one is centered.
        spatial_crops: 1: center; 3: both ends of the longer side too. Ignored for audio.
        transform: ``fixed``: scale of the short side to the clip, deterministic; ``released``: STiCA's test as
            released, random scale and colors; ``random_crop``: the training crop and flip on the same windows (SeLaVi's
            gallery); ``augmented``: also random windows, and the training colors without blur. The last two have the
            size of training views. Randomness is keyed by item. For audio only ``augmented`` has an effect: random
            windows.
        starts: Starts of the clips; ``spaced``: from the first to the last possible one; ``released``: the whole frame
            at or before k / clips of the slack, k = 0, 1, …, so that the last share of it is never used.
        step_seconds: Distance of the starts, from the first frame on, the same in both modalities; `starts` is then
            ignored. 0: the starts follow from `starts` and the length of the item in its modality.
        short_videos: Handling of items shorter than a clip; ``loop``: repeat the item; ``repeat_last``: repeat the last
            frame.
        average: True: mean over views of unit rows, (V, 1, D); False: every view, (V, N, D).
    """

    modality: Modality = "video"
    layer: Layer = "pooled"
    clips: int = 10
    spatial_crops: int = 1
    transform: TestTransform = "fixed"
    starts: Starts = "spaced"
    step_seconds: float = 0.0
    short_videos: ShortVideos = "loop"
    average: bool = True

    @property
    def views(self) -> int:
        """Number of views of an item."""
        return self.clips * (self.spatial_crops if self.modality == "video" else 1)

    @property
    def source(self) -> str:
        """Layer of the network that the features are made of."""
        return source_of(self.layer)


def source_of(layer: Layer) -> str:
    """Return the layer of a network that features are made of: ``map``, ``pooled`` or ``projected``."""
    return "map" if layer in ("map", "map_max", "tokens") else layer


Requests = Mapping[Modality, FeatureRequest]
