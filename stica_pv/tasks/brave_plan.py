"""What BraVe's views are called, how their pictures change, and the random choices of one of its steps."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.tasks.base import Plan
from stica_pv.transforms import BraveColourPlan, BraveColourSettings, RandomConvolutionPlan

VIDEO, AUDIO = "video", "audio"  # broad views
Mean = tuple[float, float, float]


@dataclass(frozen=True)
class BravePictures:
    """How the pictures of one view change before a network sees them.

    Attributes:
        colour: Blur and colours.
        convolution_prob: Probability of a random convolution.
        mean: Subtracted from the channels (on [0, 1]) at the end.
        std: Divides them.
    """

    colour: BraveColourSettings
    convolution_prob: float = 0.0
    mean: Mean = (0.0, 0.0, 0.0)
    std: Mean = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class BravePlan(Plan):
    """Random choices of a step: colours and kernels by view with pictures, and factors on the sound (B,)."""

    colour: dict[str, BraveColourPlan]
    convolution: dict[str, RandomConvolutionPlan]
    volume: Tensor

    def rows(self, part: slice) -> "BravePlan":
        """Returns what `BraVe.embed` needs: nothing, all choices are spent in `BraVe.prepare`."""
        return BravePlan({}, {}, self.volume[part])

    def to(self, device: torch.device) -> "BravePlan":
        """Returns the plan on `device`."""
        return BravePlan(
            {view: plan.to(device) for view, plan in self.colour.items()},
            {view: plan.to(device) for view, plan in self.convolution.items()},
            self.volume.to(device, non_blocking=True),
        )


def check_broad(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the broad views as a tuple; raises `UsageError` if there is none, a double or an unknown one."""
    found = tuple(names)
    if not found or len(set(found)) != len(found) or not set(found) <= {VIDEO, AUDIO}:
        raise UsageError(f"BRAVE.BROAD: expected [audio], [video] or [video, audio], got {list(found)}")
    return found
