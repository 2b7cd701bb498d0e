"""SimCLR's color distortion on clips, as in CVRL: jitter with hue, grayscale, blur, solarize; on a whole batch.

Parameters are sampled on the CPU into `SimclrColorParams`, one row per clip so that all its frames change alike (CVRL,
arXiv 2008.03800, section 3.3), or one row per frame for the paper's ablation; applying parameters is deterministic.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.keyed_random import chance, uniform
from stica_pv.precision import full_precision
from stica_pv.structures import Movable, describe
from stica_pv.transforms.blur import gaussian_blur
from stica_pv.transforms.checks import check_blur, check_shares, check_strengths
from stica_pv.transforms.color_ops import normalize_, saturate, shift_hue, to_gray

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


@dataclass(frozen=True)
class SimclrColorSettings:
    """Strength of the distortion of one view.

    Attributes:
        jitter_prob: Probability of the four jitter steps, in random order.
        brightness: Strength s of a factor U(1 - s, 1 + s), clipped at 0, on the colors.
        contrast: Strength of the same relative to the mean of each channel over the clip.
        saturation: Strength of the same on the saturation of HSV.
        hue: Strength h of a shift U(-h, h) as a share of the color circle, h <= 0.5.
        gray_prob: Probability of a gray clip.
        blur_prob: Probability of a Gaussian blur with a black border.
        blur_sigma: Bounds of the uniform standard deviation in pixels.
        blur_kernel: Number of taps along each axis, odd.
        solarise_prob: Probability that values of 0.5 and more are inverted.
        per_frame: Whether parameters are sampled per frame instead of per clip: the paper's ablation.
        mean: Mean that is subtracted from the channels (on [0, 1]) at the end.
        std: Standard deviation by which they are divided.
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
        check_shares(
            jitter_prob=self.jitter_prob,
            gray_prob=self.gray_prob,
            blur_prob=self.blur_prob,
            solarise_prob=self.solarise_prob,
        )
        check_strengths(self.brightness, self.contrast, self.saturation, self.hue)
        check_blur(self.blur_sigma, self.blur_kernel)


@dataclass(frozen=True)
class DistortedRows(Movable):
    """Rows of each change; known on the CPU, so that their number needs no synchronization.

    Attributes:
        steps: Rows of each of the four jitter steps: BRIGHTNESS, CONTRAST, SATURATION and HUE.
        gray: Rows that become gray.
        blur: Rows that are blurred.
    """

    steps: tuple[tuple[Tensor, ...], ...]
    gray: Tensor
    blur: Tensor

    def to(self, device: torch.device) -> "DistortedRows":
        """Returns the rows on `device`, copied as one tensor."""
        rows = [*itertools.chain.from_iterable(self.steps), self.gray, self.blur]
        moved = torch.cat(rows).to(device, non_blocking=True).split([len(row) for row in rows])
        return DistortedRows(tuple(moved[first : first + 4] for first in range(0, 16, 4)), *moved[16:])


@dataclass(frozen=True)
class SimclrColorParams(Movable):
    """Augmentation of each row: a clip, or a frame (then R = B·T, frames of a clip consecutive).

    Attributes:
        order: Jitter steps in their order of application, int64 (R, 4).
        values: Three factors (1 changes nothing) and the shift of the hue (0 changes nothing), float32 (R, 4).
        gray: Whether the row becomes gray, bool (R,).
        sigma: Blur in pixels, float32 (R,); 0 means none.
        solarize: Whether the row is solarized, bool (R,).
        rows: Rows of each change, set by `to`; do not pass it.
    """

    order: Tensor
    values: Tensor
    gray: Tensor
    sigma: Tensor
    solarize: Tensor
    rows: DistortedRows | None = None

    def distorted(self) -> DistortedRows:
        """Returns the rows of each change; synchronizes with the device unless `to` moved the parameters there."""
        if self.rows is not None:
            return self.rows
        steps = tuple(tuple(_rows(step == change) for change in range(4)) for step in self.order.unbind(1))
        return DistortedRows(steps, _rows(self.gray), _rows(self.sigma > 0))

    def describe(self, row: int) -> str:
        """Describes the augmentation of a row."""
        names, values = ("brightness", "contrast", "saturation"), self.values[row].tolist()
        same = (1.0, 1.0, 1.0, 0.0)
        parts = [
            f"{names[step]} × {values[step]:.2f}" if step != HUE else f"hue {values[step]:+.2f}"
            for step in self.order[row].tolist()
            if values[step] != same[step]
        ]
        parts += ["gray"] if bool(self.gray[row]) else []
        parts += [f"blur {float(self.sigma[row]):.2f} px"] if float(self.sigma[row]) > 0 else []
        parts += ["solarized"] if bool(self.solarize[row]) else []
        return ", ".join(parts) or "unchanged colors"

    def describe_by_clip(self, settings: SimclrColorSettings, frames: int) -> tuple[str, ...]:
        """Describes the augmentation of each clip; that of its first frame if frames differ."""
        rows = range(0, len(self.gray), frames if settings.per_frame else 1)
        return tuple("per frame, the first: " * settings.per_frame + self.describe(row) for row in rows)

    def to(self, device: torch.device) -> "SimclrColorParams":
        """Returns the parameters on `device`."""
        return Movable.to(replace(self, rows=self.distorted()), device)


def sample_simclr_color(
    rngs: Sequence[torch.Generator], settings: SimclrColorSettings, frames: int
) -> SimclrColorParams:
    """Samples parameters of clips of `frames` frames, clip b from `rngs[b]`; all rows use as many random values."""
    rows = [_sample_row(rng, settings) for rng in rngs for _ in range(frames if settings.per_frame else 1)]
    order, values, gray, sigma, solarize = zip(*rows, strict=True)
    return SimclrColorParams(
        torch.stack(order), torch.tensor(values), torch.tensor(gray), torch.tensor(sigma), torch.tensor(solarize)
    )


def _sample_row(rng: torch.Generator, settings: SimclrColorSettings) -> tuple[Tensor, list[float], bool, float, bool]:
    jitter, order = chance(settings.jitter_prob, rng), torch.randperm(4, generator=rng)
    strengths = (settings.brightness, settings.contrast, settings.saturation)
    values = [uniform(max(0.0, 1 - strength), 1 + strength, rng) for strength in strengths]
    values.append(uniform(-settings.hue, settings.hue, rng))
    gray, blur = chance(settings.gray_prob, rng), chance(settings.blur_prob, rng)
    sigma, solarize = uniform(*settings.blur_sigma, rng), chance(settings.solarise_prob, rng)
    return order, values if jitter else [1.0, 1.0, 1.0, 0.0], gray, sigma if blur else 0.0, solarize


@torch.no_grad()
def apply_simclr_color(video: Tensor, params: SimclrColorParams, settings: SimclrColorSettings) -> Tensor:
    """Applies color parameters and normalizes.

    Args:
        video: Frames, uint8 (B, 3, T, H, W).
        params: One row per clip, or per frame with `per_frame`.
        settings: Settings whose blur taps, mean and std are used; strengths only matter for sampling.

    Returns:
        Contiguous float32 (B, 3, T, H, W), also under autocast.
    """
    batch, _, frames = video.shape[:3]
    expected = batch * frames if settings.per_frame else batch
    if video.dtype != torch.uint8 or video.ndim != 5 or len(params.gray) != expected:
        raise UsageError(
            f"expected uint8 (B, 3, T, H, W) and {expected} rows, got {describe(video)}, {len(params.gray)}"
        )
    params = params.to(video.device)
    rows = params.distorted()
    with full_precision(video.device):
        x = video.to(torch.float32, memory_format=torch.contiguous_format) / 255
        if settings.per_frame:
            x = x.transpose(1, 2).flatten(0, 1).unsqueeze(2)  # every frame becomes a clip
        for step in rows.steps:
            for change, chosen in enumerate(step):
                if len(chosen):
                    part = _jitter(x.index_select(0, chosen), change, params.values[chosen, change])
                    x.index_copy_(0, chosen, part.clamp_(0, 1))
        if len(rows.gray):
            x.index_copy_(0, rows.gray, to_gray(x.index_select(0, rows.gray)))
        if len(rows.blur):
            sigma = params.sigma[rows.blur].unsqueeze(1).expand(-1, 2)
            part = gaussian_blur(x.index_select(0, rows.blur), sigma, settings.blur_kernel, "zero")
            x.index_copy_(0, rows.blur, part)
        x = torch.where(_wide(params.solarize) & (x >= 0.5), 1 - x, x).clamp(0, 1)
        if settings.per_frame:
            x = x.flatten(1, 2).unflatten(0, (batch, frames)).transpose(1, 2).contiguous()
        return normalize_(x, settings.mean, settings.std)


def _rows(chosen: Tensor) -> Tensor:
    return chosen.nonzero()[:, 0]


def _jitter(x: Tensor, change: int, value: Tensor) -> Tensor:
    """Applies one step (BRIGHTNESS, CONTRAST, SATURATION or HUE) with a value (R,) per row."""
    value = _wide(value)
    if change == BRIGHTNESS:
        return x * value
    if change == CONTRAST:
        mean = x.mean((2, 3, 4), keepdim=True)
        return mean + (x - mean) * value
    return saturate(x, value) if change == SATURATION else shift_hue(x, value)


def _wide(row: Tensor) -> Tensor:
    return row.view(-1, 1, 1, 1, 1)
