import colorsys

import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.transforms import BraveColorParams, BraveColorSettings, apply_brave_color, sample_brave_color
from stica_pv.transforms.color_ops import saturate

PLAIN = BraveColorSettings(blur_kernel=5)


def noise(clips: int = 2, frames: int = 3, side: int = 8) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (clips, 3, frames, side, side), generator=rng, dtype=torch.uint8)


def params(values: list[float], *, jitter: bool = True, gray: bool = False, sigma: float = 0.0) -> BraveColorParams:
    return BraveColorParams(
        torch.tensor([jitter] * 2), torch.tensor([values] * 2), torch.tensor([gray] * 2), torch.tensor([sigma] * 2)
    )


def slow_frame(frame: torch.Tensor, added: float, saturation: float, contrast: float, hue: float) -> torch.Tensor:
    """One (3, H, W) frame, pixel by pixel with Python's own color library."""
    x = frame + added
    out = torch.empty_like(x)
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            h, s, v = colorsys.rgb_to_hsv(*x[:, i, j].tolist())
            out[:, i, j] = torch.tensor(colorsys.hsv_to_rgb(h, min(s * saturation, 1), v))
    mean = out.mean((1, 2), keepdim=True)
    out = mean + (out - mean) * contrast
    for i in range(x.shape[1]):
        for j in range(x.shape[2]):
            low = out[:, i, j].min().item()  # a shift of the hue does not depend on the gray below
            h, s, v = colorsys.rgb_to_hsv(*(out[:, i, j] - low + 0.01).tolist())
            out[:, i, j] = torch.tensor(colorsys.hsv_to_rgb((h + hue) % 1, s, v)) + low - 0.01
    return out.clamp(0, 1)


@pytest.mark.parametrize("values", [[0.12, 1.3, 0.7, 0.15], [0.0, 0.6, 1.4, -0.2], [0.12, 1.0, 1.0, 0.0]])
def test_the_four_steps_equal_the_slow_loop_frame_by_frame(values: list[float]) -> None:
    video = noise(side=6)
    colored = apply_brave_color(video, params(values), PLAIN)
    for clip, result in zip(video.float() / 255, colored, strict=True):
        for t in range(clip.shape[1]):
            assert torch.allclose(result[:, t], slow_frame(clip[:, t], *values), atol=1e-5)


def test_values_below_black_become_gray_or_lose_color_and_never_anything_odd() -> None:
    video = noise()
    colored = apply_brave_color(video, params([-0.5, 1.4, 1.4, 0.2]), PLAIN)
    assert torch.isfinite(colored).all()
    assert colored.min() >= 0
    black = apply_brave_color(torch.zeros_like(video), params([-0.1, 1.4, 1.4, 0.2]), PLAIN)
    assert not black.any()


def test_without_jitter_gray_and_blur_nothing_changes() -> None:
    video = noise()
    assert torch.allclose(apply_brave_color(video, params([0.1, 0.5, 0.5, 0.1], jitter=False), PLAIN), video / 255)


def test_gray_clips_have_the_luma_in_all_channels() -> None:
    video = noise()
    gray = apply_brave_color(video, params([0.0, 1.0, 1.0, 0.0], jitter=False, gray=True), PLAIN)
    luma = (video / 255 * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1, 1)).sum(1, keepdim=True)
    assert torch.allclose(gray, luma.expand_as(gray), atol=1e-6)


def test_a_blur_comes_first_and_has_a_black_border() -> None:
    white = torch.full((2, 3, 1, 9, 9), 255, dtype=torch.uint8)
    blurred = apply_brave_color(white, params([0.0, 1.0, 1.0, 0.0], jitter=False, sigma=2.0), PLAIN)
    assert blurred[0, 0, 0, 4, 4].item() == pytest.approx(1.0)
    assert blurred[0, 0, 0, 0, 0].item() < 0.6
    offset = apply_brave_color(white, params([-0.1, 1.0, 1.0, 0.0], sigma=2.0), PLAIN)
    assert torch.allclose(offset, (blurred - 0.1).clamp(0, 1), atol=1e-6)


def test_draws_follow_their_ranges_and_shares() -> None:
    drawn = sample_brave_color([generator("colour", i) for i in range(3000)], BraveColorSettings())
    low = torch.tensor([-32 / 255, 0.6, 0.6, -0.2])
    high = torch.tensor([32 / 255, 1.4, 1.4, 0.2])
    assert (drawn.values >= low).all()
    assert (drawn.values <= high).all()
    assert torch.allclose(drawn.values.mean(0), (low + high) / 2, atol=0.02)
    assert (drawn.values.amax(0) - drawn.values.amin(0) > 0.99 * (high - low)).all()
    assert drawn.jitter.float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert drawn.gray.float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert (drawn.sigma.min().item(), drawn.sigma.max().item()) == pytest.approx((0.1, 2.0), abs=0.01)
    never = sample_brave_color([generator("colour", i) for i in range(9)], BraveColorSettings(blur_prob=0.0))
    assert not never.sigma.any()


def test_wrong_settings_and_inputs_are_refused() -> None:
    with pytest.raises(UsageError, match="jitter_prob: expected 0 to 1, got 2"):
        BraveColorSettings(jitter_prob=2)
    with pytest.raises(UsageError, match="hue from 0 to 0.5"):
        BraveColorSettings(hue=0.6)
    with pytest.raises(UsageError, match="an odd kernel"):
        BraveColorSettings(blur_kernel=22)
    with pytest.raises(UsageError, match="expected uint8"):
        apply_brave_color(noise().float(), params([0.0, 1.0, 1.0, 0.0]), PLAIN)


def test_saturating_a_color_below_black_gives_its_gray() -> None:
    dark = torch.tensor([-0.02, -0.06, -0.1]).view(1, 3, 1, 1, 1)
    # exact: copied, not calculated
    assert torch.equal(saturate(dark, torch.full((1, 1, 1, 1, 1), 1.3)), torch.full_like(dark, -0.02))
