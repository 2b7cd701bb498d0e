"""BraVe's colors (arXiv 2103.16559): a blur, then brightness, saturation, contrast and hue in this order, then gray.

Unlike SimCLR's distortion (distortion.py), brightness is added, contrast is about the mean of each frame, the order is
fixed, and colors are cut to [0, 1] once, at the end of the four.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.keyed_random import chance, uniform
from stica_pv.structures import describe
from stica_pv.transforms.blur import gaussian_blur
from stica_pv.transforms.checks import check_blur, check_shares, check_strengths
from stica_pv.transforms.color_ops import saturate, shift_hue, to_gray


@dataclass(frozen=True)
class BraveColorSettings:
    """How strong the colors of one view change.

    Attributes:
        jitter_prob: Probability of the four jitter steps.
        brightness: U(-s, s) is added to colors in [0, 1].
        saturation: Factor U(1 - s, 1 + s), cut at 0, on the saturation of HSV.
        contrast: The same about the mean of each channel over a frame.
        hue: Shift U(-h, h) as a share of the color circle, h <= 0.5.
        gray_prob: Probability of a gray clip.
        blur_prob: Probability of a Gaussian blur with a black border.
        blur_sigma: Bounds of its uniform standard deviation in pixels.
        blur_kernel: Its taps along each axis, odd.
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
class BraveColorParams:
    """What happens to each clip, all its frames alike.

    Attributes:
        jitter: bool (B,).
        values: float32 (B, 4): what is added, the factors on saturation and contrast, the shift of the hue.
        gray: bool (B,).
        sigma: float32 (B,), blur in pixels; 0 means none.
    """

    jitter: Tensor
    values: Tensor
    gray: Tensor
    sigma: Tensor

    def describe(self, row: int) -> str:
        """What happens to a clip, for a person."""
        brightness, saturation, contrast, hue = self.values[row].tolist()
        words = [f"blur {float(self.sigma[row]):.2f} px"] if float(self.sigma[row]) > 0 else []
        if bool(self.jitter[row]):
            words += [f"brightness {brightness:+.2f}", f"saturation × {saturation:.2f}"]
            words += [f"contrast × {contrast:.2f}", f"hue {hue:+.2f}"]
        words += ["gray"] if bool(self.gray[row]) else []
        return ", ".join(words) or "colors as they are"

    def to(self, device: torch.device) -> "BraveColorParams":
        """Returns the plan on `device`."""
        return BraveColorParams(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


def sample_brave_color(rngs: Sequence[torch.Generator], settings: BraveColorSettings) -> BraveColorParams:
    """Draws a plan, row b from `rngs[b]`; every row takes equally many draws."""
    jitter, values, gray, sigma = zip(*(_draw_row(rng, settings) for rng in rngs), strict=True)
    return BraveColorParams(torch.tensor(jitter), torch.tensor(values), torch.tensor(gray), torch.tensor(sigma))


def _draw_row(rng: torch.Generator, settings: BraveColorSettings) -> tuple[bool, list[float], bool, float]:
    jitter = chance(settings.jitter_prob, rng)
    values = [uniform(-settings.brightness, settings.brightness, rng)]
    values += [uniform(max(0.0, 1 - s), 1 + s, rng) for s in (settings.saturation, settings.contrast)]
    values.append(uniform(-settings.hue, settings.hue, rng))
    gray, blur = chance(settings.gray_prob, rng), chance(settings.blur_prob, rng)
    sigma = uniform(*settings.blur_sigma, rng)
    return jitter, values, gray, sigma if blur else 0.0


@torch.no_grad()
def apply_brave_color(video: Tensor, plan: BraveColorParams, settings: BraveColorSettings) -> Tensor:
    """Applies a plan.

    Args:
        video: uint8 (B, 3, T, H, W).
        plan: One row a clip.
        settings: Gives the blur's taps; strengths were spent in drawing.

    Returns:
        float32 (B, 3, T, H, W) in [0, 1], also under autocast.
    """
    if video.dtype != torch.uint8 or video.ndim != 5 or len(plan.gray) != len(video):
        raise UsageError(f"expected uint8 (B, 3, T, H, W) and a row a clip, got {describe(video)}, {len(plan.gray)}")
    with torch.autocast(video.device.type, enabled=False):
        x = video.float() / 255
        x = gaussian_blur(x, plan.sigma.unsqueeze(1).expand(-1, 2), settings.blur_kernel, "zero").clamp(0, 1)
        x = torch.where(_wide(plan.jitter), _jitter(x, plan.values), x)
        return torch.where(_wide(plan.gray), to_gray(x), x)


def _jitter(x: Tensor, values: Tensor) -> Tensor:
    """The four steps with (B, 4) values."""
    added, saturation, contrast, hue = (_wide(value) for value in values.unbind(1))
    x = saturate(x + added, saturation)
    mean = x.mean((3, 4), keepdim=True)
    return shift_hue(mean + (x - mean) * contrast, hue).clamp(0, 1)


def _wide(row: Tensor) -> Tensor:
    return row.view(-1, 1, 1, 1, 1)
