import colorsys
from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.transforms import SimclrColorParams, SimclrColorSettings, apply_simclr_color, sample_simclr_color

FRAMES = 3
NOTHING = SimclrColorSettings(jitter_prob=0, gray_prob=0, blur_prob=0, blur_kernel=3)


def rngs(count: int) -> list[torch.Generator]:
    return [generator("distortion", index) for index in range(count)]


def clips(count: int = 2) -> Tensor:
    shape = (count, 3, FRAMES, 6, 5)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def params_of(rows: int, order=(0, 1, 2, 3), values=(1.0, 1.0, 1.0, 0.0), **changes: Tensor) -> SimclrColorParams:
    no = torch.zeros(rows, dtype=torch.bool)
    params = SimclrColorParams(
        torch.tensor([order] * rows), torch.tensor([values] * rows), no, torch.zeros(rows), no.clone()
    )
    return replace(params, **changes)


def slow_pixels(x: Tensor, change) -> Tensor:
    """Applies `change(r, g, b)` to every pixel of (B, 3, T, H, W)."""
    out = x.clone()
    for b in range(x.shape[0]):
        for t in range(x.shape[2]):
            for i in range(x.shape[3]):
                for j in range(x.shape[4]):
                    out[b, :, t, i, j] = torch.tensor(change(*x[b, :, t, i, j].tolist()))
    return out


@pytest.mark.parametrize("per_frame", [False, True])
def test_clips_that_come_channels_last_give_the_same_contiguous_ones(per_frame: bool) -> None:
    settings = SimclrColorSettings(blur_kernel=3, per_frame=per_frame)
    params = sample_simclr_color(rngs(2), settings, FRAMES)
    video = clips().contiguous(memory_format=torch.channels_last_3d)
    found = apply_simclr_color(video, params, settings)
    assert found.is_contiguous()
    torch.testing.assert_close(found, apply_simclr_color(clips(), params, settings), rtol=0, atol=1e-5)


@pytest.mark.parametrize("per_frame", [False, True])
def test_rows_are_changed_together_as_each_is_alone(per_frame: bool) -> None:
    """Whatever a row's neighbors take in a step, it takes its own."""
    settings = SimclrColorSettings(blur_kernel=3, solarise_prob=0.5, jitter_prob=0.7, per_frame=per_frame)
    video, params = clips(12), sample_simclr_color(rngs(12), settings, FRAMES)
    together, width = apply_simclr_color(video, params, settings), FRAMES if per_frame else 1
    for row in range(12):
        part = slice(row * width, (row + 1) * width)
        own = SimclrColorParams(
            params.order[part], params.values[part], params.gray[part], params.sigma[part], params.solarize[part]
        )
        alone = apply_simclr_color(video[row : row + 1], own, settings)[0]
        torch.testing.assert_close(together[row], alone, rtol=0, atol=1e-5)  # other shapes: vectors end elsewhere


def test_nothing_drawn_leaves_the_frames() -> None:
    params = sample_simclr_color(rngs(2), NOTHING, FRAMES)
    assert torch.allclose(apply_simclr_color(clips(), params, NOTHING), clips() / 255, atol=1e-6)


@pytest.mark.parametrize("factor", [0.3, 1.7])
def test_saturation_is_that_of_hsv(factor: float) -> None:
    def change(r: float, g: float, b: float) -> tuple[float, float, float]:
        h, s, v = colorsys.rgb_to_hsv(r, g, b)
        return colorsys.hsv_to_rgb(h, min(1.0, s * factor), v)

    ours = apply_simclr_color(clips(), params_of(2, values=(1.0, 1.0, factor, 0.0)), NOTHING)
    assert torch.allclose(ours, slow_pixels(clips() / 255, change), atol=1e-5)


@pytest.mark.parametrize("shift", [-0.2, 0.13])
def test_hue_is_turned_on_the_color_circle(shift: float) -> None:
    def change(r: float, g: float, b: float) -> tuple[float, float, float]:
        h, s, v = colorsys.rgb_to_hsv(r, g, b)
        return colorsys.hsv_to_rgb((h + shift) % 1, s, v)

    ours = apply_simclr_color(clips(), params_of(2, values=(1.0, 1.0, 1.0, shift)), NOTHING)
    assert torch.allclose(ours, slow_pixels(clips() / 255, change), atol=1e-5)


def test_brightness_multiplies_and_contrast_moves_about_the_mean_of_each_channel_over_the_clip() -> None:
    x = clips() / 255
    bright = apply_simclr_color(clips(), params_of(2, values=(1.4, 1.0, 1.0, 0.0)), NOTHING)
    assert torch.allclose(bright, (1.4 * x).clamp(0, 1), atol=1e-6)
    flat = apply_simclr_color(clips(), params_of(2, values=(1.0, 0.25, 1.0, 0.0)), NOTHING)
    mean = x.mean((2, 3, 4), keepdim=True)
    assert torch.allclose(flat, (0.25 * x + 0.75 * mean).clamp(0, 1), atol=1e-6)


def test_steps_are_taken_in_the_order_of_each_row_and_clipped_in_between() -> None:
    values = (1.8, 0.2, 1.0, 0.0)
    order = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    ours = apply_simclr_color(clips(), params_of(2, values=values, order=(0, 1, 2, 3)), NOTHING)
    mixed = apply_simclr_color(clips(), replace(params_of(2, values=values), order=order), NOTHING)
    x = clips()[1] / 255
    mean = x.mean((1, 2, 3), keepdim=True)
    contrast_first = (1.8 * (mean + 0.2 * (x - mean))).clamp(0, 1)
    torch.testing.assert_close(mixed[0], ours[0], rtol=0, atol=1e-6)
    assert torch.allclose(mixed[1], contrast_first, atol=1e-6)
    assert not torch.allclose(mixed[1], ours[1], atol=0.05)


def test_gray_and_solarize() -> None:
    x = clips() / 255
    gray = apply_simclr_color(clips(), params_of(2, gray=torch.tensor([True, False])), NOTHING)
    luma = 0.299 * x[0, 0] + 0.587 * x[0, 1] + 0.114 * x[0, 2]
    assert torch.allclose(gray[0], luma.expand(3, -1, -1, -1), atol=1e-6)
    assert torch.allclose(gray[1], x[1], atol=1e-6)
    solar = apply_simclr_color(clips(), params_of(2, solarize=torch.tensor([False, True])), NOTHING)
    assert torch.allclose(solar[1], torch.where(x[1] >= 0.5, 1 - x[1], x[1]), atol=1e-6)
    assert torch.allclose(solar[0], x[0], atol=1e-6)


def test_all_frames_of_a_clip_change_alike_unless_each_is_drawn_for_itself() -> None:
    still = clips(1)[:, :, :1].expand(-1, -1, FRAMES, -1, -1).contiguous()
    settings = SimclrColorSettings(jitter_prob=1, blur_kernel=3)
    alike = apply_simclr_color(still, sample_simclr_color(rngs(1), settings, FRAMES), settings)
    assert torch.allclose(alike[:, :, 0], alike[:, :, 1], atol=1e-6)
    each = replace(settings, per_frame=True)
    params = sample_simclr_color(rngs(1), each, FRAMES)
    assert params.values.shape == (FRAMES, 4)
    different = apply_simclr_color(still, params, each)
    assert different.shape == still.shape
    assert not torch.allclose(different[:, :, 0], different[:, :, 1], atol=1e-2)


def test_per_frame_gives_each_frame_what_a_clip_of_it_alone_would_get() -> None:
    each = SimclrColorSettings(jitter_prob=1, per_frame=True, blur_kernel=3)
    params = sample_simclr_color(rngs(2), each, FRAMES)
    whole = apply_simclr_color(clips(), params, each)
    alone = replace(each, per_frame=False)
    for number in range(2 * FRAMES):
        b, t = divmod(number, FRAMES)
        rows = (
            getattr(params, field)[number : number + 1] for field in ("order", "values", "gray", "sigma", "solarize")
        )
        frame = apply_simclr_color(clips()[b : b + 1, :, t : t + 1], SimclrColorParams(*rows), alone)
        assert torch.allclose(whole[b : b + 1, :, t : t + 1], frame, atol=1e-6)


def test_draws_have_the_stated_probabilities_and_ranges() -> None:
    settings = SimclrColorSettings(solarise_prob=0.3)
    params = sample_simclr_color(rngs(2000), settings, FRAMES)
    jittered = (params.values != torch.tensor([1.0, 1.0, 1.0, 0.0])).any(1)
    for share, wanted in ((jittered, 0.8), (params.gray, 0.2), (params.sigma > 0, 0.5), (params.solarize, 0.3)):
        assert share.float().mean().item() == pytest.approx(wanted, abs=0.04)
    factors = params.values[jittered]
    assert 0.2 <= factors[:, :3].min() < 0.25
    assert 1.75 < factors[:, :3].max() <= 1.8
    assert 0.18 < factors[:, 3].abs().max() <= 0.2
    assert len(Counter(map(tuple, params.order.tolist()))) == 24


def test_the_result_is_normalized() -> None:
    settings = replace(NOTHING, mean=(0.45, 0.4, 0.5), std=(0.2, 0.25, 0.3))
    ours = apply_simclr_color(clips(), params_of(2), settings)
    mean, std = torch.tensor(settings.mean).view(3, 1, 1, 1), torch.tensor(settings.std).view(3, 1, 1, 1)
    assert torch.allclose(ours, (clips() / 255 - mean) / std, atol=1e-5)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(UsageError, match="expected uint8"):
        apply_simclr_color(clips().float(), params_of(2), NOTHING)
    with pytest.raises(UsageError, match="2 rows"):
        apply_simclr_color(clips(), params_of(3), NOTHING)
    with pytest.raises(UsageError, match="hue from 0 to 0.5"):
        SimclrColorSettings(hue=0.6)
    with pytest.raises(UsageError, match="odd kernel"):
        SimclrColorSettings(blur_kernel=22)
