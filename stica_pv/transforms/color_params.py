"""Parameters of jitter, grayscale and blur, sampled on the CPU per clip and shared by its frames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from stica_pv.errors import UsageError, check_choice
from stica_pv.keyed_random import chance, uniform
from stica_pv.structures import Movable
from stica_pv.transforms.checks import check_blur, check_shares
from stica_pv.transforms.color_ops import GRAY_WEIGHTS

BRIGHTNESS, CONTRAST, SATURATION = range(3)
ColorStyle = Literal["intended", "released"]
COLOR_STYLES: tuple[ColorStyle, ...] = get_args(ColorStyle)


@dataclass(frozen=True)
class ColorSettings:
    """Strength and order of the color augmentation.

    Attributes:
        jitter_prob: Probability of color jitter.
        brightness: Strength s of factors from U(1 - s, 1 + s), clipped at 0; the same for the next two.
        contrast: Strength; see `brightness`.
        saturation: Strength; see `brightness`.
        gray_prob: Probability of a gray clip.
        blur_prob: Probability of a Gaussian blur.
        blur_sigma: Bounds of the uniform standard deviation in pixels.
        blur_kernel: Number of taps of the blur along each axis, odd.
        mean: Mean that is subtracted from the channels (on [0, 1]).
        std: Standard deviation by which the channels are divided.
        style: Order of the steps. ``intended`` changes colors on [0, 1], clips after each step, and normalizes at the
            end. ``released`` follows the published code: it normalizes first, does not clip, swaps the gray weights of
            red and blue, and always blurs with the two bounds of `blur_sigma` as the sigmas along height and width.
    """

    jitter_prob: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    gray_prob: float = 0.2
    blur_prob: float = 0.5
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    blur_kernel: int = 11
    mean: tuple[float, float, float] = (0.45, 0.45, 0.45)
    std: tuple[float, float, float] = (0.225, 0.225, 0.225)
    style: ColorStyle = "intended"

    def __post_init__(self) -> None:
        check_choice("style", self.style, COLOR_STYLES)
        check_shares(jitter_prob=self.jitter_prob, gray_prob=self.gray_prob, blur_prob=self.blur_prob)
        check_blur(self.blur_sigma, self.blur_kernel)
        if min(self.strengths) < 0:
            raise UsageError(f"brightness, contrast, saturation: expected strengths >= 0, got {self.strengths}")
        if min(self.std) <= 0:
            raise UsageError(f"std: expected values > 0, got {self.std}")

    @property
    def gray_weights(self) -> tuple[float, ...]:
        """Returns the weights of red, green and blue in gray."""
        return GRAY_WEIGHTS[::-1] if self.style == "released" else GRAY_WEIGHTS

    @property
    def strengths(self) -> tuple[float, float, float]:
        """Returns the strengths in the order BRIGHTNESS, CONTRAST, SATURATION."""
        return self.brightness, self.contrast, self.saturation


@dataclass(frozen=True)
class TouchedRows(Movable):
    """Rows of a batch that the parameters change; known on the CPU, so that their number needs no synchronization."""

    jitter: Tensor
    gray: Tensor
    blur: Tensor


@dataclass(frozen=True)
class ColorParams(Movable):
    """Augmentation of each sample of a batch.

    Attributes:
        order: Jitter steps (BRIGHTNESS, CONTRAST, SATURATION) in their order of application, int64 (B, 3).
        factors: Factor of each step, indexed by step, float32 (B, 3); 1 changes nothing.
        gray: Whether the clip becomes gray, bool (B,).
        sigma: Blur in pixels along height and width, float32 (B, 2); 0 means none.
        rows: Changed rows, set by `to`; do not pass it.
    """

    order: Tensor
    factors: Tensor
    gray: Tensor
    sigma: Tensor
    rows: TouchedRows | None = None

    def __post_init__(self) -> None:
        batch = self.gray.shape[0]
        shapes = [tuple(value.shape) for value in (self.order, self.factors, self.gray, self.sigma)]
        if shapes != [(batch, 3), (batch, 3), (batch,), (batch, 2)]:
            raise ValueError(f"expected order (B, 3), factors (B, 3), gray (B,), sigma (B, 2), got {shapes}")

    @classmethod
    def identity(cls, batch: int) -> "ColorParams":
        """Returns the parameters that only normalize."""
        none, order = torch.zeros(batch, dtype=torch.bool), torch.arange(3).repeat(batch, 1)
        return cls(order, torch.ones(batch, 3), none, torch.zeros(batch, 2))

    def touched(self) -> TouchedRows:
        """Returns the changed rows; synchronizes with the device unless the parameters were moved there by `to`."""
        if self.rows is not None:
            return self.rows
        changes = (self.factors != 1).any(1), self.gray, (self.sigma > 0).any(1)
        return TouchedRows(*(torch.nonzero(change).flatten() for change in changes))

    def describe(self, row: int) -> str:
        """Describes the augmentation of a sample."""
        names, factors = ("brightness", "contrast", "saturation"), self.factors[row].tolist()
        parts = [f"{names[step]} × {factors[step]:.2f}" for step in self.order[row].tolist() if factors[step] != 1]
        parts += ["gray"] if bool(self.gray[row]) else []
        height, width = self.sigma[row].tolist()
        if max(height, width) > 0:
            parts.append(f"blur {height:.2f} px" + (f" × {width:.2f} px" if width != height else ""))
        return ", ".join(parts) or "unchanged colors"

    def to(self, device: torch.device) -> "ColorParams":
        """Returns the parameters on `device`."""
        return Movable.to(replace(self, rows=self.touched()), device)


def sample_color(rngs: Sequence[torch.Generator], settings: ColorSettings) -> ColorParams:
    """Samples parameters, row b from `rngs[b]`; every row uses the same number of random values."""
    params = ColorParams.identity(len(rngs))
    low, high = settings.blur_sigma
    for row, rng in enumerate(rngs):
        jitter = chance(settings.jitter_prob, rng)
        params.order[row] = torch.randperm(3, generator=rng)
        factors = [uniform(max(0.0, 1 - strength), 1 + strength, rng) for strength in settings.strengths]
        params.gray[row] = chance(settings.gray_prob, rng)
        blur, sigma = chance(settings.blur_prob, rng), uniform(low, high, rng)
        if jitter:
            params.factors[row] = torch.tensor(factors)
        if blur:
            params.sigma[row] = torch.tensor([sigma, sigma] if settings.style == "intended" else [low, high])
    return params
