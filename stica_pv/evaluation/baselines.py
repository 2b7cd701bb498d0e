"""Baselines without training: colors, mean spectra, single frames. They put every score into perspective."""

from abc import abstractmethod
from collections.abc import Sequence

import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from stica_pv.tasks.encoders import MAP, POOLED, PROJECTED, Encoder

COLORS, SPECTRUM = "color thumbnail 4x4", "mean spectrum"
MOTION = "motion and loudness"


class Trivial(Encoder):
    """A fixed vector of a clip, returned for every layer but the projected one."""

    offers: tuple[str, ...] = (MAP, POOLED)

    @abstractmethod
    def vector(self, x: Tensor) -> Tensor:
        """Map clips to (B, D)."""

    def layers(self, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Return the vector (B, D) under each name."""
        vector = self.vector(x)
        return dict.fromkeys(names, vector)


class ColorThumbnail(Trivial):
    """The mean frame of a clip as 4 × 4 colors."""

    def vector(self, x: Tensor) -> Tensor:
        """Map (B, 3, T, H, W) to (B, 48)."""
        return F.adaptive_avg_pool2d(x.float().mean(dim=2), 4).flatten(1)


class MeanSpectrum(Trivial):
    """The spectrogram averaged over time."""

    def __init__(self, log_mel: nn.Module) -> None:
        super().__init__()
        self.log_mel = log_mel

    def vector(self, x: Tensor) -> Tensor:
        """Map audio (B, S) to (B, F)."""
        return self.log_mel(x).mean(dim=3).flatten(1)


class MotionEnvelope(Trivial):
    """The mean absolute difference of each two successive frames, minus its mean over the clip.

    The cosine with a `LoudnessEnvelope` of the same clip is their correlation.
    """

    offers = (PROJECTED,)

    def vector(self, x: Tensor) -> Tensor:
        """Map (B, 3, T, H, W) to (B, T - 1)."""
        energy = x.float().diff(dim=2).abs().mean(dim=(1, 3, 4))
        return energy - energy.mean(dim=1, keepdim=True)


class LoudnessEnvelope(Trivial):
    """The root mean square of the audio between each two successive frames, minus its mean over the clip.

    Attributes:
        intervals: Number of intervals between frames.
        samples: Number of samples that they cover.
    """

    offers = (PROJECTED,)

    def __init__(self, *, frames: int, fps: float, sample_rate_hz: int) -> None:
        super().__init__()
        self.intervals = frames - 1
        self.samples = round(self.intervals / fps * sample_rate_hz)

    def vector(self, x: Tensor) -> Tensor:
        """Map audio (B, S) to (B, intervals)."""
        power = F.adaptive_avg_pool1d(x[:, : self.samples].square().unsqueeze(1), self.intervals)[:, 0]
        loudness = power.sqrt()
        return loudness - loudness.mean(dim=1, keepdim=True)


class MiddleFrame(nn.Module):
    """The middle frame as 16 × 16 colors, without any network."""

    def forward(self, video: Tensor) -> Tensor:
        """Map (B, 3, T, H, W) to (B, 768)."""
        frame = video[:, :, video.shape[2] // 2].float()
        return F.adaptive_avg_pool2d(frame, 16).flatten(1)


class StillFrame(nn.Module):
    """An encoder on the repeated middle frame: its features without motion."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, video: Tensor) -> Tensor:
        """Map (B, 3, T, H, W) to (B, D)."""
        middle = video.shape[2] // 2
        return self.encoder(video[:, :, middle : middle + 1].expand_as(video).contiguous())
