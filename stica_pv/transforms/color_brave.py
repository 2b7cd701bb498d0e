"""BraVe's colors (arXiv 2103.16559): a blur, then brightness, saturation, contrast and hue in this order, then gray.

Unlike SimCLR's distortion (color_simclr.py), brightness is added, contrast is relative to the mean of each frame, the
order is fixed, and colors are clipped to [0, 1] once, after the four steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.keyed_random import chance, uniform
from stica_pv.precision import full_precision
from stica_pv.structures import Movable, describe
from stica_pv.transforms.blur import gaussian_blur
from stica_pv.transforms.checks import check_blur, check_shares, check_strengths
from stica_pv.transforms.color_ops import saturate, shift_hue, to_gray


@dataclass(frozen=True)
class BraveColorSettings:
    """Strength of the color changes of one view.

    Attributes:
        jitter_prob: Probability of the four jitter steps.
        brightness: Strength s; U(-s, s) is added to colors in [0, 1].
        saturation: Strength s of a factor U(1 - s, 1 + s), clipped at 0, on the saturation of HSV.
        contrast: Strength of the same relative to the mean of each channel over a frame.
        hue: Strength h of a shift U(-h, h) as a share of the color circle, h <= 0.5.
        gray_prob: Probability of a gray clip.
        blur_prob: Probability of a Gaussian blur with a black border.
        blur_sigma: Bounds of the uniform standard deviation in pixels.
        blur_kernel: Number of taps along each axis, odd.
    """

    jitter_prob: float = 0.8
    brightness: float = 32 / 255
    saturation: float = 0.4
    contrast: float = 0.4
    hue: float = 0.2
    gray_prob: float = 0.2
    blur_prob: float = 1.0
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_kernel: int = 23

    def __post_init__(self) -> None:
        check_shares(jitter_prob=self.jitter_prob, gray_prob=self.gray_prob, blur_prob=self.blur_prob)
        check_strengths(self.brightness, self.contrast, self.saturation, self.hue)
        check_blur(self.blur_sigma, self.blur_kernel)


@dataclass(frozen=True)
class BraveColorParams(Movable):
    """Augmentation of each clip, the same for all its frames.

    Attributes:
        jitter: Whether the jitter steps are applied, bool (B,).
        values: Added brightness, factors on saturation and contrast, and shift of the hue, float32 (B, 4).
        gray: Whether the clip becomes gray, bool (B,).
        sigma: Blur in pixels, float32 (B,); 0 means none.
    """

    jitter: Tensor
    values: Tensor
    gray: Tensor
    sigma: Tensor

    def describe(self, row: int) -> str:
        """Describes the augmentation of a clip."""
        brightness, saturation, contrast, hue = self.values[row].tolist()
        parts = [f"blur {float(self.sigma[row]):.2f} px"] if float(self.sigma[row]) > 0 else []
        if bool(self.jitter[row]):
            parts += [f"brightness {brightness:+.2f}", f"saturation × {saturation:.2f}"]
            parts += [f"contrast × {contrast:.2f}", f"hue {hue:+.2f}"]
        parts += ["gray"] if bool(self.gray[row]) else []
        return ", ".join(parts) or "unchanged colors"


def sample_brave_color(rngs: Sequence[torch.Generator], settings: BraveColorSettings) -> BraveColorParams:
    """Samples parameters, row b from `rngs[b]`; every row uses the same number of random values."""
    jitter, values, gray, sigma = zip(*(_sample_row(rng, settings) for rng in rngs), strict=True)
    return BraveColorParams(torch.tensor(jitter), torch.tensor(values), torch.tensor(gray), torch.tensor(sigma))


def _sample_row(rng: torch.Generator, settings: BraveColorSettings) -> tuple[bool, list[float], bool, float]:
    jitter = chance(settings.jitter_prob, rng)
    values = [uniform(-settings.brightness, settings.brightness, rng)]
    values += [uniform(max(0.0, 1 - s), 1 + s, rng) for s in (settings.saturation, settings.contrast)]
    values.append(uniform(-settings.hue, settings.hue, rng))
    gray, blur = chance(settings.gray_prob, rng), chance(settings.blur_prob, rng)
    sigma = uniform(*settings.blur_sigma, rng)
    return jitter, values, gray, sigma if blur else 0.0


@torch.no_grad()
def apply_brave_color(video: Tensor, params: BraveColorParams, settings: BraveColorSettings) -> Tensor:
    """Applies color parameters.

    Args:
        video: Frames, uint8 (B, 3, T, H, W).
        params: One row per clip.
        settings: Settings whose blur taps are used; strengths only matter for sampling.

    Returns:
        float32 (B, 3, T, H, W) in [0, 1], also under autocast.
    """
    if video.dtype != torch.uint8 or video.ndim != 5 or len(params.gray) != len(video):
        raise UsageError(
            f"expected uint8 (B, 3, T, H, W) and one row per clip, got {describe(video)}, {len(params.gray)}"
        )
    with full_precision(video.device):
        x = video.float() / 255
        x = gaussian_blur(x, params.sigma.unsqueeze(1).expand(-1, 2), settings.blur_kernel, "zero").clamp(0, 1)
        x = torch.where(_wide(params.jitter), _jitter(x, params.values), x)
        return torch.where(_wide(params.gray), to_gray(x), x)


def _jitter(x: Tensor, values: Tensor) -> Tensor:
    """Applies the four steps with (B, 4) values."""
    added, saturation, contrast, hue = (_wide(value) for value in values.unbind(1))
    x = saturate(x + added, saturation)
    mean = x.mean((3, 4), keepdim=True)
    return shift_hue(mean + (x - mean) * contrast, hue).clamp(0, 1)


def _wide(row: Tensor) -> Tensor:
    return row.view(-1, 1, 1, 1, 1)
