"""Transforms of optical flow: the crop of frames, with motion mirrored too, and scaling."""

from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.structures import describe
from stica_pv.transforms.spatial import RandomResizedCrop, RandomShortSideCrop, apply_box

NO_MOTION = 127.5  # in uint8


@dataclass(frozen=True)
class FlowCrop:
    """A crop of frames, for optical flow: in a mirrored clip motion to the right becomes motion to the left.

    Resizing does not scale the motion, as in two-stream networks.

    Attributes:
        crop: Transform that samples the box.
    """

    crop: RandomResizedCrop | RandomShortSideCrop

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Maps uint8 (2, T, H, W), motion rightwards and downwards, to (2, T, size, size)."""
        if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[0] != 2:
            raise UsageError(f"expected optical flow, uint8 (2, T, H, W), got {describe(frames)}")
        box = self.crop.sample_box(frames.shape[2], frames.shape[3], size, rng)
        flow = apply_box(frames, box, size, self.crop.antialias)
        return torch.stack((255 - flow[0], flow[1])) if box.flip else flow


def scale_flow(flow: Tensor) -> Tensor:
    """Maps uint8 (…) to contiguous float32 in [-1, 1], 0 for no motion and 1 for the largest stored motion."""
    return (flow.to(torch.float32, memory_format=torch.contiguous_format) - NO_MOTION) / NO_MOTION
