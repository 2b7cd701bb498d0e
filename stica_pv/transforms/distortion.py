"""SimCLR's colour distortion on clips, as CVRL uses it: jitter with hue, grayscale, blur, solarise; on a whole batch.

Parameters are drawn on the CPU into a `DistortionPlan`, one row a clip so that all its frames change alike (CVRL, arXiv
2008.03800, section 3.3), or one row a frame for the paper's ablation; applying a plan is pure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.keyed_random import chance, uniform
from stica_pv.structures import describe
from stica_pv.transforms.blur import gaussian_blur

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
GRAY_WEIGHTS = (0.299, 0.587, 0.114)  # Rec. 601 luma


@dataclass(frozen=True)
class DistortionSettings:
    """How strong the distortion of one view is.

    Attributes:
        jitter_prob: Probability of the four jitter steps, taken in random order.
        brightness: Factor U(1 - s, 1 + s), cut at 0, on the colours.
        contrast: The same about the mean of each channel over the clip.
        saturation: The same on the saturation of HSV.
        hue: Shift U(-h, h) as a share of the colour circle, h <= 0.5.
        gray_prob: Probability of a gray clip.
        blur_prob: Probability of a Gaussian blur with a black border.
        blur_sigma: Bounds of its uniform standard deviation in pixels.
        blur_kernel: Its taps along each axis, odd.
        solarise_prob: Probability that values of 0.5 and more are inverted.
        per_frame: Draw for each frame instead of each clip: the paper's ablation.
        mean: Subtracted from the channels (on [0, 1]) at the end.
        std: Divides them.
    """

    jitter_prob: float = 0.8
    brightness: float = 0.8
    contrast: float = 0.8
    saturation: float = 0.8
    hue: float = 0.2
    gray_prob: float = 0.2
    blur_prob: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_kernel: int = 23
    solarise_prob: float = 0.0
    per_frame: bool = False
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        for name in ("jitter_prob", "gray_prob", "blur_prob", "solarise_prob"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        if min(self.brightness, self.contrast, self.saturation) < 0 or not 0 <= self.hue <= 0.5:
            raise UsageError(f"brightness, contrast, saturation must be >= 0 and hue from 0 to 0.5, got {self}")
        if not 0 < self.blur_sigma[0] <= self.blur_sigma[1] or self.blur_kernel < 1 or self.blur_kernel % 2 == 0:
            raise UsageError(
                f"blur: expected 0 < low <= high and an odd kernel, got {self.blur_sigma}, {self.blur_kernel}"
            )


@dataclass(frozen=True)
class DistortionPlan:
    """What happens to each row: a clip, or a frame (then R = B·T, frames of a clip next to each other).

    Attributes:
        order: int64 (R, 4), jitter steps in the order they are taken.
        values: float32 (R, 4): three factors (1 changes nothing) and the shift of the hue (0 changes nothing).
        gray: bool (R,).
        sigma: float32 (R,), blur in pixels; 0 means none.
        solarise: bool (R,).
    """

    order: Tensor
    values: Tensor
    gray: Tensor
    sigma: Tensor
    solarise: Tensor

    def to(self, device: torch.device) -> "DistortionPlan":
        """Returns the plan on `device`."""
        return DistortionPlan(*(getattr(self, field.name).to(device, non_blocking=True) for field in fields(self)))


def draw_distortion(rngs: Sequence[torch.Generator], settings: DistortionSettings, frames: int) -> DistortionPlan:
    """Draws a plan for clips of `frames` frames, those of clip b from `rngs[b]`; every row takes equally many draws."""
    rows = [_draw_row(rng, settings) for rng in rngs for _ in range(frames if settings.per_frame else 1)]
    order, values, gray, sigma, solarise = zip(*rows, strict=True)
    return DistortionPlan(
        torch.stack(order), torch.tensor(values), torch.tensor(gray), torch.tensor(sigma), torch.tensor(solarise)
    )


def _draw_row(rng: torch.Generator, settings: DistortionSettings) -> tuple[Tensor, list[float], bool, float, bool]:
    jitter, order = chance(settings.jitter_prob, rng), torch.randperm(4, generator=rng)
    strengths = (settings.brightness, settings.contrast, settings.saturation)
    values = [uniform(max(0.0, 1 - strength), 1 + strength, rng) for strength in strengths]
    values.append(uniform(-settings.hue, settings.hue, rng))
    gray, blur = chance(settings.gray_prob, rng), chance(settings.blur_prob, rng)
    sigma, solarise = uniform(*settings.blur_sigma, rng), chance(settings.solarise_prob, rng)
    return order, values if jitter else [1.0, 1.0, 1.0, 0.0], gray, sigma if blur else 0.0, solarise


@torch.no_grad()
def apply_distortion(video: Tensor, plan: DistortionPlan, settings: DistortionSettings) -> Tensor:
    """Applies a plan and normalises.

    Args:
        video: uint8 (B, 3, T, H, W).
        plan: One row a clip, or a frame with `per_frame`.
        settings: Gives the blur's taps, mean and std; strengths were spent in drawing.

    Returns:
        float32 (B, 3, T, H, W), also under autocast.
    """
    batch, _, frames = video.shape[:3]
    expected = batch * frames if settings.per_frame else batch
    if video.dtype != torch.uint8 or video.ndim != 5 or len(plan.gray) != expected:
        raise UsageError(f"expected uint8 (B, 3, T, H, W) and {expected} rows, got {describe(video)}, {len(plan.gray)}")
    with torch.autocast(video.device.type, enabled=False):
        x = video.float() / 255
        if settings.per_frame:
            x = x.transpose(1, 2).flatten(0, 1).unsqueeze(2)  # every frame a clip of its own
        for step in plan.order.unbind(1):
            x = _jitter(x, step, plan.values).clamp(0, 1)
        x = torch.where(_wide(plan.gray), to_gray(x), x)
        x = gaussian_blur(x, plan.sigma.unsqueeze(1).expand(-1, 2), settings.blur_kernel, "zero")
        x = torch.where(_wide(plan.solarise) & (x >= 0.5), 1 - x, x).clamp(0, 1)
        if settings.per_frame:
            x = x.flatten(1, 2).unflatten(0, (batch, frames)).transpose(1, 2).contiguous()
        mean, std = (x.new_tensor(value).view(3, 1, 1, 1) for value in (settings.mean, settings.std))
        return (x - mean) / std


def _jitter(x: Tensor, step: Tensor, values: Tensor) -> Tensor:
    """Takes one step: each row its own, (R,) of BRIGHTNESS, CONTRAST, SATURATION or HUE."""
    value = _wide(values.gather(1, step.unsqueeze(1)).flatten())
    step = _wide(step)
    base = x.mean((2, 3, 4), keepdim=True) * (step == CONTRAST)
    linear = base + (x - base) * value
    coloured = torch.where(step == SATURATION, saturate(x, value), shift_hue(x, value))
    return torch.where(step <= CONTRAST, linear, coloured)


def saturate(x: Tensor, factor: Tensor) -> Tensor:
    """Multiplies the saturation of HSV, at most to 1; hue and value stay.

    Args:
        x: Colours (R, 3, T, H, W).
        factor: (R, 1, 1, 1, 1), >= 0.

    Returns:
        The shape of `x`; colours outside [0, 1] count as the nearest that HSV can hold.
    """
    top, bottom = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    chroma = (top - bottom).clamp_min(torch.finfo(x.dtype).tiny)
    return top - (top - x) * torch.minimum(factor, (top / chroma).clamp_min(0))


def shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turns the hue of HSV by a share of the circle; saturation and value stay.

    Args:
        x: Colours (R, 3, T, H, W).
        shift: (R, 1, 1, 1, 1), a share of the circle.

    Returns:
        The shape of `x`.
    """
    red, green, blue = x.unbind(1)
    top, bottom = x.amax(1), x.amin(1)
    chroma = (top - bottom).clamp_min(torch.finfo(x.dtype).tiny)
    sixth = torch.where(
        top == red,
        (green - blue) / chroma,
        torch.where(top == green, 2 + (blue - red) / chroma, 4 + (red - green) / chroma),
    )
    sixth = sixth + 6 * shift[:, 0]
    turned = [(offset + sixth).remainder(6) for offset in (5, 3, 1)]
    spread = (top - bottom).unsqueeze(1)
    return top.unsqueeze(1) - spread * torch.stack([torch.minimum(k, 4 - k).clamp(0, 1) for k in turned], dim=1)


def to_gray(x: Tensor) -> Tensor:
    """Maps colours (R, 3, T, H, W) to their luma, three times."""
    weights = x.new_tensor(GRAY_WEIGHTS).view(3, 1, 1, 1)
    return (x * weights).sum(1, keepdim=True).expand_as(x)


def _wide(row: Tensor) -> Tensor:
    return row.view(-1, 1, 1, 1, 1)
