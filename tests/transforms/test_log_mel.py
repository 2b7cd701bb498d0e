"""Released spectrograms equal python_speech_features; those of style htk equal a slow loop and have no dead band."""

import math

import numpy as np
import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.keyed_random import generator
from stica_pv.transforms import create_log_mel, log_mel_frames, sample_volume

CONSTANT_BANDS = [
    0, 2, 3, 5, 6, 8, 9, 11, 13, 14, 16, 18, 19, 21, 23, 25, 27, 28, 30, 32, 34, 36, 38, 41, 43, 45, 47, 50, 52, 55, 58,
    61, 64, 68, 71, 76, 82, 94,
]  # fmt: skip
LN_EPS = math.log(np.finfo(float).eps)


def signal(kind: str, samples: int = 24000) -> np.ndarray:
    """float32 (S,) on the grid of 16-bit audio."""
    rng, t = np.random.default_rng(0), np.arange(samples) / 24000
    wave = {
        "noise": 0.1 * rng.standard_normal(samples),
        "tone": 0.5 * np.sin(2 * np.pi * 440 * t),
        "chirp with silence": np.sin(2 * np.pi * (200 + 4000 * t) * t) * (t > 0.5),
        "one count": rng.integers(-1, 2, samples) / 32768,
    }[kind]
    return (np.round(wave.clip(-1, 1) * 32767) / 32768).astype(np.float32)


@pytest.mark.parametrize("kind", ["noise", "tone", "chirp with silence", "one count"])
@pytest.mark.parametrize("bands", [257, 40])
@pytest.mark.parametrize("samples", [24000, 24100, 300])
def test_released_equals_python_speech_features(kind: str, bands: int, samples: int) -> None:
    library = pytest.importorskip("python_speech_features")
    wave = signal(kind)[-samples:]
    known = library.logfbank(wave.astype(np.float64) * 32768, 24000, 0.02, 0.01, bands, 1024).T
    ours = create_log_mel(style="released", bands=bands)(torch.from_numpy(wave)[None])
    assert ours.shape == (1, 1, *known.shape)
    ours = ours[0, 0].double().numpy()
    # float32 against float64: exact to 0.001 wherever a band holds at least 1e-9 of the frame's loudest one.
    loud = known > known.max(axis=0) + math.log(1e-9)
    assert np.abs(ours - known)[loud].max() < 1e-3
    assert np.abs(np.exp(ours) - np.exp(known)).max() <= 1e-5 * np.exp(known).max()
    empty = (known == LN_EPS).all(axis=1)
    assert np.abs(ours - known)[empty].max(initial=0) < 1e-4


def test_released_bands_without_a_bin_are_constant_at_ln_eps() -> None:
    spectrogram = create_log_mel(style="released")(torch.from_numpy(signal("noise"))[None])[0, 0]
    constant = (spectrogram == spectrogram[:, :1]).all(1)
    assert torch.nonzero(constant).flatten().tolist() == CONSTANT_BANDS
    assert (spectrogram[constant] - LN_EPS).abs().max() < 1e-4
    forty = create_log_mel(style="released", bands=40)(torch.from_numpy(signal("noise"))[None])[0, 0]
    assert forty.std(1).min() > 0.1


def test_released_silence_is_ln_eps_everywhere() -> None:
    assert (create_log_mel(style="released")(torch.zeros(2, 4800)) - LN_EPS).abs().max() < 1e-4


def test_released_rounds_to_16_bits_before_the_volume_and_other_styles_do_not() -> None:
    library = pytest.importorskip("python_speech_features")
    rng = np.random.default_rng(0)
    wave = (rng.uniform(-1, 1, 4800) * np.repeat([0.4, 30.0], 2400) / 32768).astype(np.float32)  # half is below a step
    volume = torch.tensor([0.9, 1.1])
    both = torch.from_numpy(wave).expand(2, -1)
    ours = create_log_mel(style="released", bands=40)(both, volume)[:, 0].double().numpy()
    counts = np.round(wave.astype(np.float64) * 32768)
    known = np.stack([library.logfbank(counts * v, 24000, 0.02, 0.01, 40, 1024).T for v in (0.9, 1.1)])
    # exact: both are the logarithm of the same constant
    assert (known[..., :8] == LN_EPS).all()
    assert np.abs(ours - known).max() < 1e-3
    loud = torch.full((1, 4800), 2.0)  # as a 16-bit sample it is cut
    torch.testing.assert_close(create_log_mel(style="released")(loud), create_log_mel(style="released")(loud / 2))
    htk = create_log_mel(fft_size=4096)
    torch.testing.assert_close(htk(both, volume), htk(both * volume[:, None]))


def slow_htk(wave: np.ndarray, bands: int, fft_size: int, rate: int, window: int, hop: int) -> np.ndarray:
    """(F, T) from the definition, one frame and one band at a time."""
    columns = 1 + max(0, math.ceil((len(wave) - window) / hop))
    wave = np.concatenate([wave.astype(np.float64), np.zeros(window + hop)])
    hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * n / window) for n in range(window)])
    top = 2595 * math.log10(1 + rate / 2 / 700)
    edges = [700 * (10 ** (top * i / (bands + 1) / 2595) - 1) for i in range(bands + 2)]
    out = np.empty((bands, columns))
    for t in range(columns):
        frame = wave[t * hop : t * hop + window] * hann / math.sqrt((hann**2).sum())
        power = np.abs(np.fft.fft(frame, fft_size)) ** 2
        for band in range(bands):
            left, center, right = edges[band : band + 3]
            energy = 0.0
            for k in range(fft_size // 2 + 1):
                hz = k * rate / fft_size
                if left < hz < right:
                    weight = (hz - left) / (center - left) if hz < center else (right - hz) / (right - center)
                    energy += power[k] * weight
            out[band, t] = math.log(energy + 1e-8)
    return out


@pytest.mark.parametrize("kind", ["noise", "tone", "one count"])
def test_clean_equals_the_slow_loop(kind: str) -> None:
    wave = signal(kind, 1500)
    ours = create_log_mel(bands=40, fft_size=512)(torch.from_numpy(wave)[None])[0, 0].double().numpy()
    np.testing.assert_allclose(ours, slow_htk(wave, 40, 512, 24000, 480, 240), rtol=0, atol=3e-3)  # near the floor


def test_clean_at_another_rate_equals_the_slow_loop() -> None:
    layer = create_log_mel(
        bands=32, fft_size=1024, sample_rate_hz=16000, window_seconds=0.025, hop_seconds=0.01, mean=-3.0, std=2.0
    )
    known = (slow_htk(signal("noise", 1500), 32, 1024, 16000, 400, 160) + 3.0) / 2.0
    ours = layer(torch.from_numpy(signal("noise", 1500))[None])[0, 0].double().numpy()
    np.testing.assert_allclose(ours, known, rtol=0, atol=1e-3)


@pytest.mark.parametrize("fft_size", [2048, 4096])
def test_clean_has_no_constant_band_on_white_noise(fft_size: int) -> None:
    spectrogram = create_log_mel(fft_size=fft_size)(torch.from_numpy(signal("noise"))[None])[0, 0]
    assert spectrogram.shape == (257, 99)
    assert spectrogram.std(1).min() > 0.3


def test_clean_refuses_an_fft_that_leaves_bands_empty_and_names_the_smallest() -> None:
    with pytest.raises(UsageError, match=r"fft_size 1024 leaves 7 of 257 bands .* at least 2048"):
        create_log_mel(fft_size=1024)
    with pytest.raises(UsageError, match="must be given for style htk; the smallest that fits is 2048"):
        create_log_mel()


def test_clean_bands_are_independent_at_4096_but_not_at_2048() -> None:
    ranks = [int(torch.linalg.matrix_rank(create_log_mel(fft_size=size).filters)) for size in (2048, 4096)]
    assert ranks[0] < 257
    assert ranks[1] == 257


@pytest.mark.parametrize(
    ("samples", "columns"),
    [(1, 1), (480, 1), (481, 2), (720, 2), (24000, 99), (48000, 199), (72000, 299), (96000, 399)],
)
def test_number_of_columns(samples: int, columns: int) -> None:
    layer = create_log_mel(style="released", bands=40)
    assert log_mel_frames(samples) == layer.frames(samples) == columns
    assert layer(torch.zeros(2, samples)).shape == (2, 1, 40, columns)


@pytest.mark.parametrize("style", ["htk", "released", "brave"])
def test_bands_in_blocks_equal_one_product_and_keep_gradient_and_dtype(style: str) -> None:
    layer = create_log_mel(style=style, bands=80, fft_size=2048)
    wave = torch.from_numpy(signal("noise", 4800)).view(2, -1).requires_grad_()
    blocks = layer._energy_on_processor(wave)
    torch.testing.assert_close(blocks, layer._energy(wave), rtol=1e-5, atol=0)
    gradient = torch.autograd.grad(blocks.sum(), wave)[0]
    assert gradient.isfinite().all()
    assert gradient.any()
    assert layer.double()(wave).dtype == torch.float64


@pytest.mark.parametrize("style", ["htk", "released"])
def test_autocast_changes_nothing_and_half_input_gives_float32(style: str) -> None:
    layer = create_log_mel(style=style, fft_size=4096)
    wave = torch.from_numpy(signal("noise", 4800))[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = layer(wave)
    assert torch.equal(inside, layer(wave))  # exact: the same code with the same shapes, twice
    assert layer(wave.half()).dtype == torch.float32


def test_layer_has_no_state_to_save() -> None:
    layer = create_log_mel(fft_size=4096)
    assert not layer.state_dict()
    assert {name for name, _ in layer.named_buffers()} == {"window", "filters"}


def test_impossible_requests_raise() -> None:
    with pytest.raises(UsageError, match="window of 480 samples, got 256"):
        create_log_mel(style="released", fft_size=256)
    with pytest.raises(UsageError, match="style"):
        create_log_mel(style="clear", fft_size=4096)
    with pytest.raises(UsageError, match="bands"):
        create_log_mel(bands=0, fft_size=4096)
    with pytest.raises(UsageError, match=r"expected float \(B, S\)"):
        create_log_mel(fft_size=4096)(torch.zeros(4800))


def test_volume_factors_are_uniform_by_row() -> None:
    factors = sample_volume([generator("volume", row) for row in range(2000)])
    assert factors.shape == (2000,)
    assert 0.9 <= factors.min() < 0.902 < 1.098 < factors.max() <= 1.1
    assert abs(factors.mean() - 1) < 0.005
    assert sample_volume([generator("volume", 5)])[0] == factors[5]
    assert (sample_volume([generator(0)], spread=0.0) == 1).all()
