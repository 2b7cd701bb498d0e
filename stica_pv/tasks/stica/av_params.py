"""The clip that STiCA reads of a video, and the random choices of a step."""

from dataclasses import dataclass

from torch import Tensor

from stica_pv.structures import CropPlan, FrameTransform
from stica_pv.tasks.base import AugmentationParams
from stica_pv.transforms import ColorParams

VIEWS = ("view1", "view2")
AUDIO = VIEWS[0]  # the audio belongs to the window; the first view holds it


@dataclass(frozen=True)
class ClipSettings:
    """Clip that is read of a video.

    Attributes:
        frames: Frames per clip.
        fps: Frames per second.
        size: Side of a view in pixels.
        audio_rate_hz: Sample rate of the audio.
        transform: Random crop of a view, in the loader.
        silence_allowed: Whether videos without audio are kept; the cross-modal loss excludes them.
    """

    frames: int
    fps: float
    size: int
    audio_rate_hz: int
    transform: FrameTransform
    silence_allowed: bool = False

    @property
    def seconds(self) -> float:
        """Returns the length of a clip."""
        return self.frames / self.fps


@dataclass(frozen=True)
class AVParams(AugmentationParams):
    """Random choices of a step: crop windows, color and volume, and computed positions if tokens are dropped.

    Attributes:
        crops: Windows of each view.
        color: Color parameters of each view.
        volume: Factors on the audio, (B,).
        kept: Computed positions of each view, int64 (B, K); empty: the trunk computes all.
    """

    crops: tuple[CropPlan, ...]
    color: tuple[ColorParams, ...]
    volume: Tensor
    kept: tuple[Tensor, ...] = ()

    def rows(self, part: slice) -> "AVParams":
        """Returns the windows of some samples; colors and volume are applied before."""
        crops, kept = tuple(crop.rows(part) for crop in self.crops), tuple(positions[part] for positions in self.kept)
        return AVParams(crops, (), self.volume[part], kept)
