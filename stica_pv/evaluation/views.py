"""What an evaluation looks at: a grid of clips over each video, by crops over each frame; nothing is left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from stica_pv.errors import UsageError, check_choice
from stica_pv.keyed_random import integer
from stica_pv.structures import FrameTransform, Views, ViewSpec, Window, WindowPolicy
from stica_pv.transforms import FixedCrop

TRANSFORMS = ("fixed", "released")
CROP_POSITIONS = {1: (0.5,), 3: (0.0, 0.5, 1.0)}
RELEASED_SHORT_SIDE = (128, 160)


@dataclass(frozen=True)
class ReleasedTestCrop:
    """The released test crop: its fixed scale is overwritten by the training range, so that the test is random."""

    position: float

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Maps uint8 (C, T, H, W) to uint8 (C, T, size, size)."""
        short_side = integer(max(size, RELEASED_SHORT_SIDE[0]), max(size, RELEASED_SHORT_SIDE[1]), rng)
        return FixedCrop(short_side=short_side, position=self.position, antialias=False)(frames, size, rng)


def grid_windows(clips: int, seconds: float) -> WindowPolicy:
    """Returns the policy that spaces `clips` windows equally over a video; a short video is looped, never dropped."""
    return partial(_grid, clips, seconds)  # not a function within this one: workers may be spawned


def _grid(clips: int, seconds: float, duration_s: float, rng: torch.Generator) -> Mapping[str, Window]:
    slack = max(0.0, duration_s - seconds)
    starts = [slack * (0.5 if clips == 1 else i / (clips - 1)) for i in range(clips)]
    return {f"clip{i}": Window(start, seconds, "loop" if slack == 0 else "shift") for i, start in enumerate(starts)}


def grid_views(
    *, clips: int, spatial_crops: int, frames: int, fps: float, size: int, transform: str = "fixed"
) -> Views:
    """Returns `clips` × `spatial_crops` views of every video."""
    check_choice("TEST.TRANSFORM", transform, TRANSFORMS)
    if clips < 1 or spatial_crops not in CROP_POSITIONS:
        raise UsageError(
            f"TEST.NUM_ENSEMBLE_VIEWS must be >= 1 and TEST.NUM_SPATIAL_CROPS 1 or 3, got {clips} and {spatial_crops}"
        )

    def crop(position: float) -> FrameTransform:
        return ReleasedTestCrop(position) if transform == "released" else FixedCrop(short_side=size, position=position)

    specs = tuple(
        ViewSpec(f"clip{i} crop{j}", f"clip{i}", frames, fps, size, crop(position))
        for i in range(clips)
        for j, position in enumerate(CROP_POSITIONS[spatial_crops])
    )
    return Views(specs, grid_windows(clips, frames / fps), min_seconds=0.0, needs_audio=False)
