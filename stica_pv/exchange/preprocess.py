"""The clips that an encoder was trained on, as functions that make them from frames and audio of any size."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.structures import describe
from stica_pv.transforms import FixedCrop


@dataclass(frozen=True)
class VideoPreprocess:
    """Resizes the short side of frames to `size` and crops the center square.

    Attributes:
        frames: Frames of a training clip; the encoder takes any number that its trunk takes.
        fps: Frames per second of a training clip.
        size: Side of the square in pixels.
    """

    frames: int
    fps: float
    size: int

    def __call__(self, frames: Tensor) -> Tensor:
        """Maps uint8 (3, T, H, W) or (B, 3, T, H, W), RGB, to uint8 (…, 3, T, size, size).

        Raises:
            UsageError: The frames have another type or shape.
        """
        if frames.dtype != torch.uint8 or frames.ndim not in (4, 5) or frames.shape[-4] != 3:
            raise UsageError(f"frames: expected uint8 (3, T, H, W) or (B, 3, T, H, W), got {describe(frames)}")
        channels, steps, height, width = frames.shape[-4:]
        # Frames of all clips are cropped alike, so that they can be one long clip.
        joined = frames.reshape(-1, channels, steps, height, width).transpose(0, 1).flatten(1, 2)
        crop = FixedCrop(short_side=self.size)(joined, self.size, torch.Generator())
        parts = crop.unflatten(1, (-1, steps)).transpose(0, 1)
        return parts.reshape(*frames.shape[:-4], channels, steps, self.size, self.size)


@dataclass(frozen=True)
class AudioPreprocess:
    """Averages channels, and cuts or pads the end to the length of a training clip.

    Attributes:
        sample_rate: Samples per second, which the caller provides.
        seconds: Length of a training clip.
    """

    sample_rate: int
    seconds: float

    def __call__(self, audio: Tensor) -> Tensor:
        """Maps float (S,) or (channels, S) in [-1, 1] at `sample_rate` to float32 (1, sample_rate · seconds).

        Raises:
            UsageError: The audio has another type or shape.
        """
        if not audio.is_floating_point() or audio.ndim not in (1, 2):
            raise UsageError(f"audio: expected float (S,) or (channels, S), got {describe(audio)}")
        mono = audio.float() if audio.ndim == 1 else audio.float().mean(dim=0)
        length = round(self.sample_rate * self.seconds)
        return F.pad(mono[:length], (0, max(0, length - len(mono)))).unsqueeze(0)
