"""BraVe's spectrogram against a slow loop, and its bands without a bin."""

import math

import numpy as np
import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.transforms import LogMel, create_log_mel


def brave(rate_hz: int, **settings: float) -> LogMel:
    return create_log_mel(
        style="brave",
        sample_rate_hz=rate_hz,
        bands=80,
        window_seconds=320 / rate_hz,
        hop_seconds=160 / rate_hz,
        fft_size=320,
        **settings,
    )


def empty_bands(layer: LogMel) -> int:
    return int((layer.filters == 0).all(dim=0).sum())


def test_sixteen_bands_are_empty_at_48_khz_and_none_at_16() -> None:
    assert empty_bands(brave(48000)) == 16
    assert empty_bands(brave(16000)) == 0
    noise = torch.rand(1, 48000) - 0.5
    dead = (brave(48000)(noise)[0, 0] == 0).all(dim=1)
    assert int(dead.sum()) == 16


def test_ten_seconds_give_3072_columns_at_48_khz_and_1024_at_16() -> None:
    for rate_hz, columns in ((48000, 3072), (16000, 1024)):
        layer = brave(rate_hz)
        assert layer.frames(round(10.24 * rate_hz)) == columns
        assert layer(torch.zeros(1, 16000)).shape == (1, 1, 80, 100)
        assert layer(torch.zeros(1, 16001)).shape[-1] == layer.frames(16001) == 101


def slow_log_mel(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """(80, T) by loops: magnitudes of periodic Hann frames, triangles straight in HTK mel, log(1 + 10⁴ x)."""

    def mel(hz: float) -> float:
        return 1127 * math.log(1 + hz / 700)

    columns = math.ceil(len(wave) / 160)
    padded = np.concatenate([wave, np.zeros(320)])
    window = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / 320) for n in range(320)])
    edges = [mel(80) + (mel(7600) - mel(80)) * i / 81 for i in range(82)]
    out = np.zeros((80, columns))
    for t in range(columns):
        magnitude = np.abs(np.fft.rfft(padded[160 * t : 160 * t + 320] * window))
        for band in range(80):
            left, center, right = edges[band : band + 3]
            total = 0.0
            for k in range(1, 161):  # without the constant part
                position = mel(k * rate_hz / 320)
                weight = min((position - left) / (center - left), (right - position) / (right - center))
                total += max(weight, 0.0) * magnitude[k]
            out[band, t] = math.log(1 + 10000 * total)
    return out


@pytest.mark.parametrize("rate_hz", [16000, 48000])
def test_values_equal_the_slow_loop(rate_hz: int) -> None:
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 1000) + 0.2
    ours = brave(rate_hz)(torch.from_numpy(wave).float()[None])[0, 0].numpy()
    assert ours.shape == (80, 7)
    assert np.abs(ours - slow_log_mel(wave, rate_hz)).max() < 2e-3  # single precision times 10⁴


def test_silence_is_zero_and_mean_and_std_are_applied() -> None:
    assert not brave(16000)(torch.zeros(2, 3200)).any()
    wave = torch.rand(1, 3200) - 0.5
    plain, moved = brave(16000)(wave), brave(16000, mean=3.0, std=2.0)(wave)
    assert torch.allclose(moved, (plain - 3) / 2)


def test_fft_is_the_window_by_default_and_a_low_rate_is_refused() -> None:
    assert create_log_mel(style="brave", sample_rate_hz=16000, bands=80).fft_size == 320
    with pytest.raises(UsageError, match="expected a sample rate of at least 15200 Hz, got 8000"):
        brave(8000)
