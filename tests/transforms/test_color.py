"""Color equals a slow loop over samples, in both styles; parameters are sampled by row."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.transforms import ColorParams, ColorSettings, apply_color, sample_color
from stica_pv.transforms import color as color
from stica_pv.transforms import color_cpu as color_cpu

STYLES = ("intended", "released")
EVERYTHING = {"jitter_prob": 0.8, "gray_prob": 0.3, "blur_prob": 0.6}


def clips(batch: int = 6, frames: int = 3, height: int = 20, width: int = 24) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 3, frames, height, width), dtype=torch.uint8, generator=rng)


def params_of(batch: int, settings: ColorSettings) -> ColorParams:
    return sample_color([generator("plan", row) for row in range(batch)], settings)


def slow_blur(frame: Tensor, sigma: list[float], taps: int) -> Tensor:
    """(3, H, W) with a two-dimensional kernel over a padded frame."""
    axes = []
    for s in sigma:
        steps = range(-(taps // 2), taps // 2 + 1)
        axes.append(torch.tensor([math.exp(-(d**2) / (2 * s**2)) if s else float(d == 0) for d in steps]).double())
    kernel = torch.outer(axes[0] / axes[0].sum(), axes[1] / axes[1].sum()).expand(3, 1, taps, taps)
    padded = F.pad(frame[None], [taps // 2] * 4, mode="reflect")
    return F.conv2d(padded, kernel, groups=3)[0]


def slow(video: Tensor, params: ColorParams, settings: ColorSettings) -> Tensor:
    """One sample, one frame and one step after the other, in double precision."""
    released = settings.style == "released"
    red, green, blue = (0.114, 0.587, 0.299) if released else (0.299, 0.587, 0.114)
    mean, std = (torch.tensor(v).double().view(3, 1, 1) for v in (settings.mean, settings.std))
    out = torch.empty(video.shape, dtype=torch.float64)
    for b in range(video.shape[0]):
        for t in range(video.shape[2]):
            x = video[b, :, t].double() / 255
            x = (x - mean) / std if released else x
            for step in params.order[b].tolist():
                factor = params.factors[b, step].double()
                gray = red * x[0] + green * x[1] + blue * x[2]
                base = (torch.zeros(()).double(), gray.mean(), gray)[step]
                x = factor * x + (1 - factor) * base
                x = x if released else x.clamp(0, 1)
            if params.gray[b]:
                x = (red * x[0] + green * x[1] + blue * x[2]).expand(3, -1, -1)
            if params.sigma[b].any():
                x = slow_blur(x, params.sigma[b].tolist(), settings.blur_kernel)
            out[b, :, t] = x if released else (x - mean) / std
    return out


@pytest.mark.parametrize(
    ("way", "width"), [(color._on_device, 24), (color._on_processor, 20), (color._on_processor, 60)]
)
@pytest.mark.parametrize("style", STYLES)
def test_a_batch_at_once_and_clip_by_clip_equal_the_slow_loop(style: str, width: int, way, monkeypatch) -> None:
    monkeypatch.setattr(color, "_on_processor", way)
    monkeypatch.setattr(color, "is_available", lambda: False)
    monkeypatch.setattr(color_cpu, "_BLOCK_BYTES", 2 * 4 * 3 * 20 * width)  # three frames: a block of two, and one
    settings = ColorSettings(style=style, mean=(0.4, 0.45, 0.5), std=(0.2, 0.225, 0.25), **EVERYTHING)
    params = params_of(16, settings)
    assert params.gray.any()
    assert (params.gray & (params.sigma > 0).any(1)).any()
    assert len(set(map(tuple, params.order.tolist()))) > 3
    video = clips(16, frames=3, width=width)
    before = video.clone()
    out = apply_color(video, params, settings)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), slow(video, params, settings), rtol=0, atol=1e-5)
    assert torch.equal(video, before)  # exact: left alone, not calculated


@pytest.mark.parametrize("style", STYLES)
def test_identity_only_normalizes(style: str) -> None:
    settings = ColorSettings(style=style)
    out = apply_color(clips(), ColorParams.identity(6), settings)
    torch.testing.assert_close(out, (clips() / 255 - 0.45) / 0.225)


def test_float_input_is_on_zero_to_one_and_left_alone() -> None:
    settings = ColorSettings(**EVERYTHING)
    video, params = clips() / 255, params_of(6, settings)
    before = video.clone()
    torch.testing.assert_close(apply_color(video, params, settings), apply_color(clips(), params, settings))
    assert torch.equal(video, before)  # exact: left alone, not calculated


@pytest.mark.parametrize("style", STYLES)
def test_rows_do_not_depend_on_their_batch(style: str) -> None:
    settings = ColorSettings(style=style, **EVERYTHING)
    together = apply_color(clips(), params_of(6, settings), settings)
    for row in range(6):
        alone = sample_color([generator("plan", row)], settings)
        torch.testing.assert_close(apply_color(clips()[row : row + 1], alone, settings)[0], together[row])


def test_intended_colors_stay_on_zero_to_one() -> None:
    settings = ColorSettings(brightness=2.0, contrast=2.0, jitter_prob=1.0, mean=(0, 0, 0), std=(1, 1, 1))
    out = apply_color(clips(), params_of(6, settings), settings)
    assert out.min() >= 0
    assert out.max() <= 1 + 1e-6
    assert params_of(6, settings).factors.min() >= 0


def test_gray_uses_the_red_weight_for_red_and_the_swapped_one_as_released() -> None:
    red = torch.zeros(1, 3, 1, 2, 2)
    red[:, 0] = 1
    params = ColorParams(torch.arange(3)[None], torch.ones(1, 3), torch.tensor([True]), torch.zeros(1, 2))
    for style, weight in (("intended", 0.299), ("released", 0.114)):
        settings = ColorSettings(style=style, mean=(0, 0, 0), std=(1, 1, 1))
        torch.testing.assert_close(apply_color(red, params, settings), torch.full_like(red, weight))


def test_released_blur_acts_along_the_width_alone() -> None:
    settings = ColorSettings(style="released", jitter_prob=0, gray_prob=0, blur_prob=1.0)
    params = params_of(6, settings)
    assert params.sigma.tolist() == torch.tensor([[0.1, 2.0]] * 6).tolist()  # exact: the same generators draw the same
    rows = torch.rand(6, 3, 1, 20, 1).expand(-1, -1, -1, -1, 24)  # constant along the width
    torch.testing.assert_close(apply_color(rows, params, settings), (rows - 0.45) / 0.225)
    columns = torch.rand(6, 3, 1, 1, 24).expand(-1, -1, -1, 20, -1)
    assert (apply_color(columns, params, settings) - (columns - 0.45) / 0.225).abs().max() > 0.1


@pytest.mark.parametrize("style", STYLES)
def test_autocast_changes_nothing(style: str) -> None:
    settings = ColorSettings(style=style, **EVERYTHING)
    params = params_of(6, settings)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = apply_color(clips(), params, settings)
    assert inside.dtype == torch.float32
    # exact: the same code with the same shapes, twice
    assert torch.equal(inside, apply_color(clips(), params, settings))


def test_moved_plan_keeps_its_rows_and_its_effect() -> None:
    settings = ColorSettings(**EVERYTHING)
    params = params_of(6, settings)
    moved = params.to(torch.device("cpu"))
    assert moved.touched() is moved.rows
    # exact: the same code with the same shapes, twice
    assert torch.equal(apply_color(clips(), moved, settings), apply_color(clips(), params, settings))


def test_draws_follow_their_laws() -> None:
    settings = ColorSettings()
    params = params_of(2000, settings)
    jittered = (params.factors != 1).any(1)
    blurred = params.sigma[:, 0] > 0
    for share, known in ((jittered, 0.8), (params.gray, 0.2), (blurred, 0.5)):
        assert abs(share.float().mean() - known) < 0.04
    factors = params.factors[jittered]
    assert 0.6 <= factors.min() < 0.61 < 1.39 < factors.max() <= 1.4
    assert torch.equal(params.sigma[:, 0], params.sigma[:, 1])  # exact: the same generators draw the same
    sigma = params.sigma[blurred]
    assert 0.1 <= sigma.min() < 0.15 < 1.95 < sigma.max() <= 2.0
    orders, counts = params.order.unique(dim=0, return_counts=True)
    assert orders.shape == (6, 3)
    assert counts.min() > 250


def test_draws_of_a_row_do_not_shift_with_probabilities() -> None:
    never = params_of(20, ColorSettings(jitter_prob=0, gray_prob=0.5))
    always = params_of(20, ColorSettings(jitter_prob=1, gray_prob=0.5))
    assert torch.equal(never.gray, always.gray)  # exact: integers
    assert torch.equal(never.sigma, always.sigma)  # exact: the same generators draw the same
    assert (never.factors == 1).all()


def test_smallest_frame_that_can_be_blurred_and_the_next_smaller() -> None:
    settings = ColorSettings(blur_prob=1.0)
    params = params_of(2, settings)
    video = clips(2, 1, 6, 6)
    torch.testing.assert_close(
        apply_color(video, params, settings).double(), slow(video, params, settings), rtol=0, atol=2e-5
    )
    with pytest.raises(UsageError, match="more than 5 pixels, got 5"):
        apply_color(clips(2, 1, 5, 6), params, settings)
    apply_color(clips(2, 1, 5, 5), ColorParams.identity(2), settings)


def test_impossible_requests_raise() -> None:
    settings = ColorSettings()
    with pytest.raises(UsageError, match="expected uint8 or float"):
        apply_color(clips()[:, :2], ColorParams.identity(6), settings)
    with pytest.raises(UsageError, match="parameters for 2 samples"):
        apply_color(clips(), ColorParams.identity(2), settings)
    for wrong in (
        {"style": "relased"},
        {"jitter_prob": 1.5},
        {"contrast": -0.1},
        {"blur_sigma": (2.0, 0.1)},
        {"blur_kernel": 4},
        {"std": (0.0, 1.0, 1.0)},
    ):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            ColorSettings(**wrong)
    with pytest.raises(ValueError, match="expected order"):
        ColorParams(torch.zeros(2, 3), torch.ones(2, 3), torch.zeros(2), torch.zeros(2))


@pytest.mark.gpu
@pytest.mark.parametrize("style", STYLES)
def test_device_is_never_waited_for(style: str) -> None:
    settings, device = ColorSettings(style=style, **EVERYTHING), torch.device("cuda")
    params, video = params_of(6, settings), clips()
    known, video = apply_color(video, params, settings), video.to(device)
    apply_color(video, params, settings)  # the first call loads kernels
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = apply_color(video, params.to(device), settings)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(out.cpu(), known, rtol=0, atol=1e-4)
