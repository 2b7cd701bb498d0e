"""Random convolution of clips: every frame of a clip is filtered by one random kernel (BraVe, arXiv 2103.16559).

Kernels of all sizes are zero-padded to the largest one, so that a batch is a single grouped convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.keyed_random import chance, integer
from stica_pv.precision import full_precision
from stica_pv.structures import Movable, describe

SIZES = (1, 3, 5, 7, 9, 11)  # sides of a kernel in pixels
LARGEST = SIZES[-1]
CUT_STD = 0.87962566103423978  # standard deviation of a standard normal truncated at two


@dataclass(frozen=True)
class RandomConvolutionParams(Movable):
    """Kernels, float32 (B, 3, 3, 11, 11): output and input channels; smaller ones centered in zeros."""

    kernels: Tensor

    def describe(self, row: int) -> str:
        """Describes the convolution of a clip."""
        kernel, middle = self.kernels[row], LARGEST // 2
        if torch.equal(kernel[:, :, middle, middle], torch.eye(3)) and int((kernel != 0).sum()) == len(kernel):
            return "no convolution"
        side = 1 + 2 * int((kernel != 0).flatten(0, 2).any(0).nonzero().sub(middle).abs().max())
        return f"random convolution {side} × {side}"


def sample_random_convolution(rngs: Sequence[torch.Generator], prob: float) -> RandomConvolutionParams:
    """Samples kernels with probability `prob`, row b from `rngs[b]`; other kernels are the identity.

    The side is uniform over `SIZES`, weights are He-normal, truncated at two standard deviations.
    """
    if not 0 <= prob <= 1:
        raise UsageError(f"BRAVE.RANDOM_CONV_PROB: expected 0 to 1, got {prob}")
    return RandomConvolutionParams(torch.stack([_sample_kernel(rng, prob) for rng in rngs]))


def _sample_kernel(rng: torch.Generator, prob: float) -> Tensor:
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
def apply_random_convolution(video: Tensor, params: RandomConvolutionParams) -> Tensor:
    """Filters float (B, 3, T, H, W) with a black border, without bias, clipping or mixing, to the same shape."""
    if not video.is_floating_point() or video.ndim != 5 or len(params.kernels) != len(video):
        raise UsageError(f"expected float (B, 3, T, H, W) with B = {len(params.kernels)}, got {describe(video)}")
    batch = len(video)
    with full_precision(video.device):
        frames = video.permute(2, 0, 1, 3, 4).flatten(1, 2)  # (T, B·3, H, W): one group per clip
        kernels = params.kernels.to(video.dtype).flatten(0, 1)
        filtered = F.conv2d(frames, kernels, padding=LARGEST // 2, groups=batch)
        return filtered.unflatten(1, (batch, 3)).permute(1, 2, 0, 3, 4)
