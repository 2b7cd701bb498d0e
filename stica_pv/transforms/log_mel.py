"""Log-mel spectrograms on the device, as in the paper's release or with exact bands.

The release uses python_speech_features, whose bands are rounded to FFT bins: with 257 bands at 24 kHz and an FFT of
1024, 38 of them (0, 2, 3, 5, 6, 8, 9, 11, 13, 14, … 94) contain no bin and are constant at ln(eps) = -36.04. BraVe's
(arXiv 2103.16559) has 16 of 80 bands without a bin at its 48 kHz, constant at 0, and none at 16 kHz.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stica_pv.errors import UsageError, check_choice
from stica_pv.precision import full_precision
from stica_pv.structures import describe

PRE_EMPHASIS = 0.97
INT16_SCALE = 32768.0  # the release uses 16-bit samples unscaled
RELEASED_FFT_SIZE = 1024
EPSILON = torch.finfo(torch.float64).eps
HTK_FLOOR = 1e-8  # 20 dB above the rounding noise of 16-bit audio
BRAVE_SCALE = 10000.0  # log(1 + 10⁴ x)
BRAVE_RANGE_HZ = (80.0, 7600.0)

_BLOCK_BANDS = 33
"""Number of bands that a CPU computes at once: neighbors have few bins in common, and most of the matrix is 0."""

Style = Literal["htk", "released", "brave"]
STYLES = ("htk", "released", "brave")


def log_mel_frames(samples: int, *, window_samples: int = 480, hop_samples: int = 240) -> int:
    """Returns the number of columns T = 1 + ceil((samples - window) / hop), at least 1."""
    return 1 + max(0, -((window_samples - samples) // hop_samples))


class LogMel(nn.Module):
    """Maps waveforms to log-mel spectrograms in float32, also under autocast; build it with `create_log_mel`.

    Attributes:
        window: Window of each frame, (window_samples,).
        filters: Weights (fft_size // 2 + 1, F) from the power spectrum |rfft|², or magnitudes |rfft| for ``brave``, to
            bands, including constant factors.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self, *, window: Tensor, filters: Tensor, hop_samples: int, style: Style, mean: float = 0.0, std: float = 1.0
    ) -> None:
        super().__init__()
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)
        self._blocks = _blocks(filters)
        self.fft_size = 2 * (filters.shape[0] - 1)
        self.hop_samples = hop_samples
        self.style = style
        self.mean = mean
        self.std = std

    def frames(self, samples: int) -> int:
        """Returns the number of columns for `samples` samples."""
        if self.style == "brave":
            return -(-samples // self.hop_samples)
        return log_mel_frames(samples, window_samples=self.window.shape[0], hop_samples=self.hop_samples)

    def forward(self, waveform: Tensor, volume: Tensor | None = None) -> Tensor:
        """Maps (B, S) in [-1, 1], at the sample rate it was built for, to float32 (B, 1, F, T).

        ``released`` rounds the samples to 16 bits, so the waveform gets no gradient.

        Args:
            waveform: Waveforms (B, S).
            volume: Factors on the waveforms, (B,); as released, they are applied after the rounding.
        """
        if waveform.ndim != 2 or waveform.shape[1] == 0 or not waveform.is_floating_point():
            raise UsageError(f"waveform: expected float (B, S) with S > 0, got {describe(waveform)}")
        with full_precision(waveform.device):
            # A traced program uses the general path, since it would fix the number of parts.
            traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
            general = waveform.device.type != "cpu" or traced
            waveform = _as_16_bit(waveform.float()) if self.style == "released" else waveform.float()
            waveform = waveform if volume is None else waveform * volume.unsqueeze(1)
            energy = (self._energy if general else self._energy_on_processor)(waveform)
            energy = energy.transpose(1, 2).unsqueeze(1)
            if self.style == "brave":
                return energy.mul(BRAVE_SCALE).log1p().sub(self.mean).div(self.std)
            released = self.style == "released"
            energy = energy.masked_fill(energy == 0, EPSILON) if released else energy + HTK_FLOOR
            return energy.log().sub(self.mean).div(self.std)

    def _energy(self, x: Tensor) -> Tensor:
        """Maps (B, S) to the bands (B, T, F)."""
        return self._spectrum(x) @ self.filters

    def _energy_on_processor(self, x: Tensor) -> Tensor:
        """Computes `_energy` clip by clip, since only one spectrum fits into the cache, and without most zeros."""
        return torch.stack([self._in_blocks(self._spectrum(clip)[0]) for clip in x.split(1)])

    def _in_blocks(self, spectrum: Tensor) -> Tensor:
        """Maps (T, fft_size // 2 + 1) to the bands (T, F)."""
        return torch.cat([spectrum[:, bins] @ self.filters[bins, bands] for bins, bands in self._blocks], dim=1)

    def _spectrum(self, x: Tensor) -> Tensor:
        """Maps (B, S) to spectra (B, T, fft_size // 2 + 1) of overlapping frames, zero-padded at the end."""
        if self.style == "released":
            x = torch.cat([x[:, :1], x[:, 1:] - PRE_EMPHASIS * x[:, :-1]], dim=1)
        span = (self.frames(x.shape[1]) - 1) * self.hop_samples + self.window.shape[0]
        frames = F.pad(x, (0, span - x.shape[1])).unfold(1, self.window.shape[0], self.hop_samples)
        spectrum = torch.fft.rfft(frames * self.window, n=self.fft_size)
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        return power.sqrt_() if self.style == "brave" else power


def create_log_mel(
    *,
    style: Style = "htk",
    sample_rate_hz: int = 24000,
    bands: int = 257,
    window_seconds: float = 0.02,
    hop_seconds: float = 0.01,
    fft_size: int | None = None,
    mean: float = 0.0,
    std: float = 1.0,
) -> LogMel:
    """Builds a `LogMel` layer.

    Args:
        style: Definition. ``released`` follows python_speech_features.logfbank on samples of 16 bits: pre-emphasis,
            rectangular window, triangles between rounded bins, ln(eps) for exact zeros. ``htk`` has a Hann window,
            triangles between the exact frequencies, and a small floor; no band is constant. ``brave`` has magnitudes, a
            Hann window, triangles from 80 to 7600 Hz that are straight on the mel scale, log(1 + 10⁴ x), and ⌈S / hop⌉
            columns.
        sample_rate_hz: Sample rate of the waveforms.
        bands: Number F of mel bands between 0 and half the sample rate; ``brave`` has its own range.
        window_seconds: Length of a frame.
        hop_seconds: Distance between frames.
        fft_size: Points of the Fourier transform; required for ``htk``, 1024 by default for ``released``, the
            window for ``brave``.
        mean: Mean that is subtracted from the logarithms.
        std: Standard deviation by which they are divided.

    Raises:
        UsageError: The FFT for ``htk`` is so short that a band contains no bin, or an argument is out of range.
    """
    check_choice("style", style, STYLES)
    window_samples, hop_samples = round(window_seconds * sample_rate_hz), round(hop_seconds * sample_rate_hz)
    if min(window_samples, hop_samples, bands) < 1 or std <= 0:
        raise UsageError(
            f"bands, window and hop in samples must be at least 1 and std > 0, got {bands}, {window_samples}, "
            f"{hop_samples}, {std}"
        )
    if fft_size is None and style == "htk":
        smallest = _smallest_fft(sample_rate_hz, bands, window_samples)
        raise UsageError(f"fft_size must be given for style htk; the smallest that fits is {smallest}")
    fft_size = fft_size or (window_samples if style == "brave" else RELEASED_FFT_SIZE)
    if fft_size < window_samples or fft_size % 2:
        raise UsageError(f"fft_size: expected an even number >= the window of {window_samples} samples, got {fft_size}")
    with torch.device("cpu"):  # their values are inspected, also if the network is built on the meta device
        window, filters = _window_and_filters(style, sample_rate_hz, bands, window_samples, fft_size)
    return LogMel(window=window, filters=filters.float(), hop_samples=hop_samples, style=style, mean=mean, std=std)


def _as_16_bit(waveform: Tensor) -> Tensor:
    """Rounds to 16 bits, as FFmpeg does: samples below half a step are exact zeros, whose logarithm is ln(eps)."""
    return (waveform * INT16_SCALE).round().clamp(-INT16_SCALE, INT16_SCALE - 1) / INT16_SCALE


def _blocks(filters: Tensor) -> list[tuple[slice, slice]]:
    """Splits the bands of (bins, F) into blocks: the bins of a block, and its bands."""
    blocks = []
    for begin in range(0, filters.shape[1], _BLOCK_BANDS):
        bands = slice(begin, min(begin + _BLOCK_BANDS, filters.shape[1]))
        used = filters[:, bands].any(1).nonzero().flatten().tolist()
        blocks.append((slice(used[0], used[-1] + 1) if used else slice(0, 1), bands))
    return blocks


def _window_and_filters(
    style: str, sample_rate_hz: int, bands: int, window_samples: int, fft_size: int
) -> tuple[Tensor, Tensor]:
    if style == "released":
        window = torch.ones(window_samples)
        filters = _rounded_triangles(sample_rate_hz, bands, fft_size) * (INT16_SCALE**2 / fft_size)
    elif style == "brave":
        window, filters = torch.hann_window(window_samples), _mel_triangles(sample_rate_hz, bands, fft_size)
    else:
        window = torch.hann_window(window_samples)
        window = window / window.square().sum().sqrt()  # white noise of variance v has power v in every bin
        filters = _triangles(sample_rate_hz, bands, fft_size)
        empty = int((filters.sum(0) == 0).sum())
        if empty:
            smallest = _smallest_fft(sample_rate_hz, bands, window_samples)
            raise UsageError(
                f"fft_size {fft_size} leaves {empty} of {bands} bands at {sample_rate_hz} Hz without a bin; "
                f"increase it to at least {smallest}, or use fewer bands"
            )
    return window, filters


def _band_edges_hz(sample_rate_hz: int, bands: int) -> Tensor:
    """Returns float64 (bands + 2,) frequencies, equally spaced on the HTK mel scale from 0 to half the sample rate."""
    top_mel = 2595 * math.log10(1 + sample_rate_hz / 2 / 700)
    mels = torch.linspace(0, top_mel, bands + 2, dtype=torch.float64)
    return 700 * (10 ** (mels / 2595) - 1)


def _triangles(sample_rate_hz: int, bands: int, fft_size: int) -> Tensor:
    """Returns float64 (fft_size // 2 + 1, bands) triangles of height 1 between the exact edges."""
    left, center, right = _band_edges_hz(sample_rate_hz, bands).unfold(0, 3, 1).unbind(1)
    bins = torch.arange(fft_size // 2 + 1, dtype=torch.float64)[:, None] * (sample_rate_hz / fft_size)
    return torch.minimum((bins - left) / (center - left), (right - bins) / (right - center)).clamp_min(0)


def _rounded_triangles(sample_rate_hz: int, bands: int, fft_size: int) -> Tensor:
    """Returns float64 (fft_size // 2 + 1, bands) triangles between edges rounded down to bins, as the library's."""
    edges = ((fft_size + 1) * _band_edges_hz(sample_rate_hz, bands) / sample_rate_hz).floor()
    left, center, right = edges.unfold(0, 3, 1).unbind(1)
    bins = torch.arange(fft_size // 2 + 1, dtype=torch.float64)[:, None]
    rise, fall = (bins - left) / (center - left), (right - bins) / (right - center)
    nothing = torch.zeros(())
    rise = torch.where((bins >= left) & (bins < center), rise, nothing)
    return torch.where((bins >= center) & (bins < right), fall, rise)


def _mel_triangles(sample_rate_hz: int, bands: int, fft_size: int) -> Tensor:
    """Returns float64 (fft_size // 2 + 1, bands) triangles of height 1, straight on the HTK mel scale, as HTK's.

    A band narrower than the distance of the bins may contain none of them: it is kept, as released.
    """
    if sample_rate_hz < 2 * BRAVE_RANGE_HZ[1]:
        raise UsageError(
            f"brave log-mel has bands up to {BRAVE_RANGE_HZ[1]:g} Hz: expected a sample rate of at least "
            f"{2 * BRAVE_RANGE_HZ[1]:g} Hz, got {sample_rate_hz}"
        )
    bins_hz = torch.arange(fft_size // 2 + 1, dtype=torch.float64) * (sample_rate_hz / fft_size)
    low, high = (2595 * math.log10(1 + hz / 700) for hz in BRAVE_RANGE_HZ)
    left, center, right = torch.linspace(low, high, bands + 2, dtype=torch.float64).unfold(0, 3, 1).unbind(1)
    bins = 2595 * torch.log10(1 + bins_hz / 700)[:, None]
    return torch.minimum((bins - left) / (center - left), (right - bins) / (right - center)).clamp_min(0)


def _smallest_fft(sample_rate_hz: int, bands: int, window_samples: int) -> int:
    """Returns the smallest power of two that covers the window and gives every band a bin."""
    fft_size = 1 << max(1, (window_samples - 1).bit_length())
    while (_triangles(sample_rate_hz, bands, fft_size).sum(0) == 0).any():
        fft_size *= 2
    return fft_size
