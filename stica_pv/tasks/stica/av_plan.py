"""What STiCA reads of a video, and the random choices of one of its steps."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.structures import CropPlan, FrameTransform
from stica_pv.tasks.base import Plan
from stica_pv.transforms import PhotometryPlan

VIEWS = ("view1", "view2")
SOUND = VIEWS[0]  # the sound belongs to the window; it travels with the first view


@dataclass(frozen=True)
class ClipSettings:
    """What is read of a video.

    Attributes:
        frames: Pictures a clip.
        fps: Pictures a second.
        size: Side of a view in pixels.
        audio_rate_hz: Sample rate of the sound.
        transform: Random crop of a view, in the loader.
        silence_allowed: Keep videos without sound; they take no part in the cross-modal loss.
    """

    frames: int
    fps: float
    size: int
    audio_rate_hz: int
    transform: FrameTransform
    silence_allowed: bool = False

    @property
    def seconds(self) -> float:
        """Length of a clip."""
        return self.frames / self.fps


@dataclass(frozen=True)
class AVPlan(Plan):
    """Random choices of a step: crop windows, photometry and volume.

    Attributes:
        crops: Windows of each view.
        photometry: Parameters of each view's samples.
        volume: (B,) factors on the sound.
    """

    crops: tuple[CropPlan, ...]
    photometry: tuple[PhotometryPlan, ...]
    volume: Tensor

    def rows(self, part: slice) -> "AVPlan":
        """Returns the windows of some samples; colours and volume are applied before."""
        return AVPlan(tuple(crop.rows(part) for crop in self.crops), (), self.volume[part])

    def to(self, device: torch.device) -> "AVPlan":
        """Returns the plan on `device`."""
        return AVPlan(
            tuple(crop.to(device) for crop in self.crops),
            tuple(photometry.to(device) for photometry in self.photometry),
            self.volume.to(device, non_blocking=True),
        )
