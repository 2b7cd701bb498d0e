"""Random convolution of clips: every frame filtered by one freshly drawn kernel (BraVe, arXiv 2103.16559).

Kernels of all sizes are laid into the largest one, so that a batch is a single grouped convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.keyed_random import chance, integer
from stica_pv.structures import describe

SIZES = (1, 3, 5, 7, 9, 11)  # sides of a kernel in pixels
LARGEST = SIZES[-1]
CUT_STD = 0.87962566103423978  # of a standard normal cut at two standard deviations


@dataclass(frozen=True)
class RandomConvolutionParams:
    """Kernels float32 (B, 3, 3, 11, 11): to and from channels; smaller ones in the middle, surrounded by zeros."""

    kernels: Tensor

    def describe(self, row: int) -> str:
        """What happens to a clip, for a person."""
        kernel, middle = self.kernels[row], LARGEST // 2
        if torch.equal(kernel[:, :, middle, middle], torch.eye(3)) and int((kernel != 0).sum()) == len(kernel):
            return "no convolution"
        side = 1 + 2 * int((kernel != 0).flatten(0, 2).any(0).nonzero().sub(middle).abs().max())
        return f"random convolution {side} × {side}"

    def to(self, device: torch.device) -> "RandomConvolutionParams":
        """Returns the plan on `device`."""
        return RandomConvolutionParams(self.kernels.to(device, non_blocking=True))


def sample_random_convolution(rngs: Sequence[torch.Generator], prob: float) -> RandomConvolutionParams:
    """Draws kernels with probability `prob`, row b from `rngs[b]`; the others leave the clip as it is.

    The side is uniform over `SIZES`, weights are He-normal, cut at two standard deviations.
    """
    if not 0 <= prob <= 1:
        raise UsageError(f"BRAVE.RANDOM_CONV_PROB: expected 0 to 1, got {prob}")
    return RandomConvolutionParams(torch.stack([_draw_kernel(rng, prob) for rng in rngs]))


def _draw_kernel(rng: torch.Generator, prob: float) -> Tensor:
    convolved, side = chance(prob, rng), SIZES[integer(0, len(SIZES) - 1, rng)]
    kernel = torch.zeros(3, 3, LARGEST, LARGEST)
    margin = (LARGEST - side) // 2
    if not convolved:
        kernel[:, :, LARGEST // 2, LARGEST // 2] = torch.eye(3)
        return kernel
    std = (2 / (3 * side * side)) ** 0.5 / CUT_STD
    within = slice(margin, margin + side)
    kernel[:, :, within, within] = nn.init.trunc_normal_(
        torch.empty(3, 3, side, side), std=std, a=-2 * std, b=2 * std, generator=rng
    )
    return kernel


@torch.no_grad()
def apply_random_convolution(video: Tensor, plan: RandomConvolutionParams) -> Tensor:
    """Filters float (B, 3, T, H, W) with a black border, without bias, clipping or mixing; the shape stays."""
    if not video.is_floating_point() or video.ndim != 5 or len(plan.kernels) != len(video):
        raise UsageError(f"expected float (B, 3, T, H, W) with B = {len(plan.kernels)}, got {describe(video)}")
    batch = len(video)
    with torch.autocast(video.device.type, enabled=False):
        frames = video.permute(2, 0, 1, 3, 4).flatten(1, 2)  # (T, B·3, H, W): a group a clip
        kernels = plan.kernels.to(video.dtype).flatten(0, 1)
        filtered = F.conv2d(frames, kernels, padding=LARGEST // 2, groups=batch)
        return filtered.unflatten(1, (batch, 3)).permute(1, 2, 0, 3, 4)
