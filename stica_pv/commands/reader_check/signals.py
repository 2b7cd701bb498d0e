"""Frames that carry their number and audio that carries its time, and how to read both back."""

import math

import numpy as np
import numpy.typing as npt

Frame = npt.NDArray[np.uint8]
Audio = npt.NDArray[np.float32]

BITS = 8
_LOWEST_LEVEL, _LEVEL_STEP = 25, 3
_TONES, _FINER, _SINC = 48, 50, 40
_RNG = np.random.default_rng(7)
_HERTZ = _RNG.uniform(120, 2800, _TONES)
_PHASES = _RNG.uniform(0, 2 * math.pi, _TONES)


def numbered_frame(number: int, width: int, height: int) -> Frame:
    """Return (H, W, 3): the bits of `number` as vertical stripes, or its gray level where there is no room."""
    if width < BITS:
        return np.full((height, width, 3), _LOWEST_LEVEL + _LEVEL_STEP * number, np.uint8)
    bits = [(number >> (BITS - 1 - i)) & 1 for i in range(BITS)]
    columns = np.minimum(np.arange(width) // (width // BITS), BITS - 1)
    row = np.array(bits, np.uint8)[columns] * 205 + _LOWEST_LEVEL
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, width, 3)))


def numbers_of(frames: npt.NDArray[np.generic]) -> list[int]:
    """Read the numbers of (3, T, H, W) frames of any number type."""
    pixels = np.asarray(frames, np.float32)
    width = pixels.shape[3]
    if width < BITS:
        return [round((float(level) - _LOWEST_LEVEL) / _LEVEL_STEP) for level in pixels.mean(axis=(0, 2, 3))]
    stripe = width // BITS
    means = pixels[..., : stripe * BITS].mean(axis=(0, 2)).reshape(-1, BITS, stripe).mean(axis=2)
    return [int("".join(str(int(bit)) for bit in row), 2) for row in means > 128]


def audio_at(times_s: npt.NDArray[np.float64]) -> Audio:
    """Return the known audio: tones of 120 to 2800 Hz with no common period, so that it fits itself at one place."""
    total = np.zeros(len(times_s))
    for hertz, phase in zip(_HERTZ, _PHASES, strict=True):
        total += np.sin(2 * math.pi * hertz * times_s + phase)
    return (0.3 / math.sqrt(_TONES) * total).astype(np.float32)


def lag_seconds(audio: Audio, start_s: float, rate_hz: int, search_s: float = 0.15) -> float | None:
    """Return by how much audio is later than it should be, to a hundredth of a sample; None if it is not ours.

    Args:
        audio: Audio (S,), which should begin at `start_s`.
        start_s: Expected start in the known audio.
        rate_hz: Sample rate of the audio.
        search_s: Largest lag of the search.
    """
    if len(audio) < rate_hz // 20:
        return None
    audio = audio - audio.mean()
    around = round(search_s * rate_hz)
    truth = audio_at(start_s + np.arange(-around, len(audio) + around) / rate_hz)
    size = 1 << math.ceil(math.log2(len(truth) + len(audio)))
    spectrum = np.fft.rfft(truth, size) * np.conj(np.fft.rfft(audio, size))
    fit = np.fft.irfft(spectrum, size)[: 2 * around + 1]
    best = int(np.argmax(fit))
    strength = float(fit[best]) / float(np.linalg.norm(audio) * np.linalg.norm(truth[around:-around]) + 1e-9)
    if strength < 0.5:
        return None
    near = np.arange(max(0, best - _SINC), min(len(fit), best + _SINC + 1))
    fine = best + np.linspace(-1, 1, 2 * _FINER + 1)
    smooth = np.sinc(fine[:, None] - near) @ fit[near]
    return (around - float(fine[np.argmax(smooth)])) / rate_hz
