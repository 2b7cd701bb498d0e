"""Our crops and audio for the sample dicts of pytorchvideo's data sets, and a collate function for such dicts.

`pytorchvideo.data.LabeledVideoDataset` gives a dict of "video", "audio" (absent without audio), "label" and names, with
as many frames and samples as the clip holds. The transform of this module gives each a fixed size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import default_collate

from stica_pv.data.decoding.audio_track import resample
from stica_pv.errors import UsageError
from stica_pv.structures import FrameTransform, describe

_INT16_SCALE, _INT32_SCALE = 2.0**15, 2.0**31
_INTERLEAVED = 1.5
"""Integer samples that last this many times the clip are taken for interleaved channels."""


@dataclass(frozen=True)
class SampleAudio:
    """Format of the audio in a sample dict, and of the result.

    Attributes:
        seconds: Length of the clips and of the result.
        rate_hz: Sample rate of the result.
        file_rate_hz: Sample rate of the files, which pytorchvideo does not return. If the files differ, add
            ``"audio_rate_hz"`` to the dict of each file's label; it takes precedence.
        packed_channels: Number of interleaved channels in the samples, as pytorchvideo returns PCM (wav, most avi).
            1 for formats that are decoded in planes (AAC, MP3, Vorbis, Opus), which it averages.
    """

    seconds: float
    rate_hz: int
    file_rate_hz: int
    packed_channels: int | None = None

    def __post_init__(self) -> None:
        if self.seconds <= 0 or min(self.rate_hz, self.file_rate_hz, self.packed_channels or 1) < 1:
            raise UsageError(f"audio of a sample: seconds, rates and channels must be positive, got {self}")

    @property
    def samples(self) -> int:
        """Length of the result, ``round(seconds * rate_hz)``."""
        return round(self.seconds * self.rate_hz)

    def fit(self, audio: Tensor | None, file_rate_hz: int | None = None) -> tuple[Tensor, float]:
        """Make the audio mono, with fixed rate and length.

        Args:
            audio: (S,) at the file's rate, floats in [-1, 1] or PCM integers as numbers of any dtype; or None.
            file_rate_hz: Sample rate of this file, if it differs from the attribute.

        Returns:
            float32 (samples,) in [-1, 1], and the share of it that is real.
        """
        if audio is None or audio.numel() == 0:
            return torch.zeros(self.samples), 0.0
        rate_hz = file_rate_hz or self.file_rate_hz
        mono = self._mono(audio, rate_hz)[: math.ceil(self.seconds * rate_hz)]
        valid = min(1.0, len(mono) / (self.seconds * rate_hz))
        if rate_hz != self.rate_hz:
            mono = torch.from_numpy(resample(np.ascontiguousarray(mono.numpy()), rate_hz, self.rate_hz))
        mono = mono[: self.samples].clamp(-1.0, 1.0)
        return F.pad(mono, (0, self.samples - len(mono))), valid

    def _mono(self, audio: Tensor, rate_hz: int) -> Tensor:
        if audio.ndim != 1:
            raise UsageError(f"audio of a sample: expected (S,) as pytorchvideo returns it, got {describe(audio)}")
        values = audio.to(torch.float64)
        # Averaging two channels of integers gives multiples of 0.5; decoded audio in [-1, 1] is never that regular.
        whole = bool((values * 2 == (values * 2).round()).all()) and float(values.abs().max()) > 1
        if whole and self.packed_channels is None and len(values) > _INTERLEAVED * self.seconds * rate_hz:
            raise UsageError(
                f"audio of a sample: {len(values)} integer samples for {self.seconds:g} s at {rate_hz} Hz look like "
                "interleaved channels; set packed_channels (1 if the clips are longer than that)"
            )
        channels = self.packed_channels or 1
        values = values[: len(values) // channels * channels].unflatten(0, (-1, channels)).mean(dim=1)
        if whole:
            values = values / (_INT16_SCALE if float(audio.abs().max()) <= _INT16_SCALE else _INT32_SCALE)
        return values.to(torch.float32)


@dataclass(frozen=True)
class SampleTransform:
    """Transform for ``LabeledVideoDataset(transform=…)`` that crops the video as uint8 and fits the audio.

    Maps a dict with "video" (C, T, H, W), uint8 or float in 0 to 255, and optionally "audio" (S,) to the same dict with
    "video" uint8 (C, frames, size, size) and, if `audio` is given, "audio" float32 (samples,) and "audio_valid". It
    uses torch's global generator, as pytorchvideo's transforms do: the loader seeds it for each worker and epoch.

    Attributes:
        frames: Number of frames, evenly spaced from the first frame of the clip on, as in `ViewSpec`.
        size: Side of the square result in pixels.
        crop: One of `stica_pv.transforms`, e.g. ``RandomResizedCrop()``.
        audio: Format of the audio; None removes it.
    """

    frames: int
    size: int
    crop: FrameTransform
    audio: SampleAudio | None = None

    def __post_init__(self) -> None:
        if min(self.frames, self.size) < 1:
            raise UsageError(f"a sample needs frames and size >= 1, got {self.frames} and {self.size}")

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Return the dict with video and audio replaced; other entries are kept."""
        result = {key: value for key, value in sample.items() if key not in ("video", "audio")}
        rng = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        result["video"] = self.crop(_as_uint8(_spread(sample["video"], self.frames)), self.size, rng)
        if self.audio is not None:
            result["audio"], result["audio_valid"] = self.audio.fit(sample.get("audio"), sample.get("audio_rate_hz"))
        return result


def _spread(video: Tensor, frames: int) -> Tensor:
    if video.ndim != 4 or video.shape[1] == 0:
        raise UsageError(f"video of a sample: expected (C, T, H, W) with T > 0, got {describe(video)}")
    return video[:, torch.arange(frames) * video.shape[1] // frames]


def _as_uint8(video: Tensor) -> Tensor:
    if video.dtype == torch.uint8:
        return video
    if not video.is_floating_point() or video.min() < 0 or (video.max() <= 1 and bool((video % 1 != 0).any())):
        raise UsageError(
            f"video of a sample: expected uint8 or float in 0 to 255, got {describe(video)} from {video.min():g} to "
            f"{video.max():g}; apply this transform before those that scale or normalize"
        )
    return video.round().clamp(0, 255).to(torch.uint8)


def collate_samples(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Make a batch of sample dicts: a `collate_fn` for loaders of pytorchvideo's data sets.

    Audio of unequal length is padded with silence, missing audio becomes silence; "audio_valid", float32 (B,), is the
    real share of each row. If no sample has audio, the batch has none.

    Returns:
        Tensors of one shape stacked, numbers as a tensor (B,), anything else as a list in the order of `samples`.
    """
    keys = dict.fromkeys(key for sample in samples for key in sample)
    others = [key for key in keys if key not in ("audio", "audio_valid")]
    batch = {key: _joined(key, [sample.get(key) for sample in samples]) for key in others}
    tracks = [sample.get("audio") for sample in samples]
    lengths = [0 if track is None else len(track) for track in tracks]
    if any(track is not None for track in tracks):
        rows = [torch.zeros(0) if track is None else track.to(torch.float32) for track in tracks]
        batch["audio"] = torch.stack([F.pad(row, (0, max(lengths) - len(row))) for row in rows])
        shares = [float(sample.get("audio_valid", 1.0)) for sample in samples]
        valid = [share * length / max(1, max(lengths)) for share, length in zip(shares, lengths, strict=True)]
        batch["audio_valid"] = torch.tensor(valid, dtype=torch.float32)
    return batch


def _joined(key: str, values: list[Any]) -> Any:
    if all(isinstance(value, Tensor) for value in values):
        shapes = {tuple(value.shape) for value in values}
        if len(shapes) > 1:
            raise UsageError(f"{key!r} differs within a batch: {sorted(shapes)}; give the data set a SampleTransform")
        return default_collate(values)
    if all(isinstance(value, int | float) for value in values):
        return torch.tensor(values)
    return values
