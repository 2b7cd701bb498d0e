"""The released test photometry: colour jitter stays on at test, so that scores are random."""

from dataclasses import dataclass, replace

from torch import Tensor

from stica_pv.keyed_random import generator
from stica_pv.transforms import PhotometrySettings, apply_photometry, draw_photometry


@dataclass(frozen=True)
class ReleasedPhotometry:
    """Jitters and normalises test frames as the release does; the draws are keyed by video.

    Attributes:
        settings: Of training; grayscale and blur are switched off.
        seed: Seed of the run.
    """

    settings: PhotometrySettings
    seed: int

    def __call__(self, video: Tensor, indices: Tensor) -> Tensor:
        """Maps uint8 (B, 3, T, H, W) to normalised float32 of that shape."""
        settings = replace(self.settings, gray_prob=0.0, blur_prob=0.0, style="released")
        rngs = [generator("test photometry", self.seed, index) for index in indices.tolist()]
        return apply_photometry(video, draw_photometry(rngs, settings).to(video.device), settings)
