"""The feature crops that STiCA samples and compares: the within-modal terms as a table, not as loops.

STiCA, section 3.2; released pairs are those of the published training script.
"""

import functools
import logging
import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from stica_pv.errors import UsageError, check_choice
from stica_pv.losses import ContrastTerms
from stica_pv.models import sample_boxes, whole_map
from stica_pv.models.feature_crop import MapShape

logger = logging.getLogger(__name__)

Kind = Literal["space", "time"]
_KEY_NAME: dict[Kind, str] = {"space": "SPATIAL", "time": "TEMPORAL"}  # as in the keys of CROP
PAIRINGS = ("all", "released")


class Crop(NamedTuple):
    """One sampled window: view 0 or 1, cropped in space or time, large or small, and its number."""

    view: int
    kind: Kind
    large: bool
    number: int


@dataclass(frozen=True)
class CropSettings:
    """Number and size of the windows of a view, and their pairing.

    Attributes:
        space_large: Number of large spatial windows per view (full time).
        space_small: Number of small spatial windows per view.
        time_large: Number of large temporal windows per view (full space).
        time_small: Number of small temporal windows per view.
        space_sizes: Side of a (large, small) spatial window as a share of the map's; rounded by `cells_of`.
        time_sizes: Length of a (large, small) temporal window as a share of the map's; rounded by `cells_of`.
        time_cap: Number of steps of which temporal lengths are shares at most (released: 8).
        pairing: Pairs to compare. ``all``: every large pair across the views both ways, small → large in both
            directions of views; ``released``: second large with second large, small of view 2 → large of view 1.
        exclusive_bound: Whether the last position is never sampled, as released.
        per_sample: Whether positions differ by sample, instead of one set per step for all samples and processes.
    """

    space_large: int = 2
    space_small: int = 4
    time_large: int = 0
    time_small: int = 0
    space_sizes: tuple[float, float] = (6 / 7, 4 / 7)
    time_sizes: tuple[float, float] = (0.75, 0.5)
    time_cap: int = 8
    pairing: str = "all"
    exclusive_bound: bool = False
    per_sample: bool = False

    def __post_init__(self) -> None:
        check_choice("CROP.PAIRING", self.pairing, PAIRINGS)
        if min(self.space_large, self.space_small, self.time_large, self.time_small) < 0:
            raise UsageError(f"numbers of crops must be >= 0: {self}")
        for sizes in (self.space_sizes, self.time_sizes):
            if len(sizes) != 2 or not all(0 < size <= 1 for size in sizes):
                raise UsageError(f"crop sizes are (large, small) shares of the map in (0, 1], got {tuple(sizes)}")
        for kind, (large, small) in self._counts().items():
            if small and not large:
                raise UsageError(
                    f"small {kind} crops are compared with large ones: set CROP.NUM_LARGE_{_KEY_NAME[kind]} too"
                )

    def _counts(self) -> dict[Kind, tuple[int, int]]:
        return {"space": (self.space_large, self.space_small), "time": (self.time_large, self.time_small)}

    def window(self, kind: Kind, large: bool, map_shape: MapShape) -> MapShape:
        """Returns the size of a window in cells (T, H, W) on a map."""
        steps, height, width = map_shape
        if kind == "space":
            share = self.space_sizes[0 if large else 1]
            return steps, cells_of(share, height), cells_of(share, width)
        share = self.time_sizes[0 if large else 1]
        return cells_of(share, min(steps, self.time_cap)), height, width

    def check(self, map_shape: MapShape) -> None:
        """Checks the sizes against the map that they crop.

        Warns once if a large window is the whole map, or a small one is as large as the large one.

        Raises:
            UsageError: The map has a single cell along an axis to crop.
        """
        for kind, (large, small) in self._counts().items():
            if not large:
                continue
            whole = map_shape[1:] if kind == "space" else map_shape[:1]
            if max(whole) == 1:
                raise UsageError(
                    f"CROP.NUM_LARGE_{_KEY_NAME[kind]} {large}: a feature map of {map_shape} cells (T, H, W) "
                    f"cannot be cropped: use {_MORE[kind]}, or set the crop counts of this kind to 0"
                )
            first, second = (self.window(kind, which, map_shape) for which in (True, False))
            if first == map_shape or (small and first == second):
                what = "a large one is the whole map" if first == map_shape else "large and small ones have one size"
                _warn_once(
                    f"CROP.{_KEY_NAME[kind]}_SIZES: in a feature map of {map_shape} cells (T, H, W) the crops are "
                    f"{first} and {second}: {what}; use {_MORE[kind]}, or smaller shares"
                )

    def terms(self) -> list[tuple[Crop, Crop, float]]:
        """Returns all directed comparisons (query, key, weight); those of one symmetric term share a weight of 1."""
        found = []
        for kind, (large, small) in self._counts().items():
            pair = _all_pairs if self.pairing == "all" else _released_pairs
            found += pair(kind, large, small)
        return found


_MORE = {"space": "larger frames (DATA.TRAIN_CROP_SIZE)", "time": "longer clips (DATA.NUM_FRAMES)"}


@functools.cache
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


def cells_of(share: float, cells: int) -> int:
    """Returns a share of a number of cells, rounded to the nearest integer (halves up), at least one."""
    return max(1, math.floor(share * cells + 0.5))


def _all_pairs(kind: Kind, large: int, small: int) -> list[tuple[Crop, Crop, float]]:
    terms = []
    for here, there in ((0, 1), (1, 0)):
        keys = [Crop(there, kind, True, i) for i in range(large)]
        terms += [(Crop(here, kind, True, i), key, 0.5) for i in range(large) for key in keys]
        terms += [(Crop(here, kind, False, j), key, 1.0) for j in range(small) for key in keys]
    return terms


def _released_pairs(kind: Kind, large: int, small: int) -> list[tuple[Crop, Crop, float]]:
    if large > 2:
        raise UsageError(f"CROP.PAIRING released supports at most 2 large {kind} crops per view, got {large}")
    terms = []
    if large == 2:
        first, second = Crop(0, kind, True, 1), Crop(1, kind, True, 1)
        terms += [(second, first, 0.5), (first, second, 0.5)]
    keys = [Crop(0, kind, True, i) for i in range(large)]
    terms += [(Crop(1, kind, False, j), key, 1.0) for key in keys for j in range(small)]
    return terms


class CropTable:
    """The windows of both views in the order of their embeddings, and the terms as indices into that order.

    Only windows that some term uses are listed. Each view begins with its whole map.

    Attributes:
        crops: Crops of view 0 and of view 1.
        whole: Slice that selects the whole maps of both views.
        terms: Comparisons of windows.
        is_space: Whether each term compares spatial crops.
    """

    def __init__(self, settings: CropSettings) -> None:
        self.settings = settings
        terms = settings.terms()
        used = {crop for query, key, _ in terms for crop in (query, key)}
        # Large before small, space before time, as in the settings.
        order = sorted(used, key=lambda crop: (crop.view, crop.kind, not crop.large, crop.number))
        self.crops = tuple(tuple(crop for crop in order if crop.view == view) for view in (0, 1))
        second = 1 + len(self.crops[0])
        self.whole = slice(0, second + 1, second)
        index = {crop: (0, second)[view] + 1 + i for view in (0, 1) for i, crop in enumerate(self.crops[view])}
        self.terms = ContrastTerms(
            tuple(index[query] for query, _, _ in terms),
            tuple(index[key] for _, key, _ in terms),
            tuple(weight for _, _, weight in terms),
        )
        self.is_space = tuple(query.kind == "space" for query, _, _ in terms)

    def names(self, view: int) -> list[str]:
        """Returns the names of the windows of a view, in the order of sampling and embedding."""
        crops = [f"{'large' if crop.large else 'small'} {crop.kind} {crop.number + 1}" for crop in self.crops[view]]
        return ["whole map", *crops]

    def sample(self, view: int, map_shape: MapShape, rng: torch.Generator) -> Tensor:
        """Samples the windows of a view, the whole map first: int64 (N, 3, 2)."""
        boxes = [whole_map(map_shape)]
        for crop in self.crops[view]:
            size = self.settings.window(crop.kind, crop.large, map_shape)
            boxes.append(sample_boxes(1, size, map_shape, rng, exclusive_bound=self.settings.exclusive_bound))
        return torch.cat(boxes)
