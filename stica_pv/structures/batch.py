"""Batches that the loader gives to a step, and the keys that identify samples and steps."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.structures.media import describe


@dataclass(frozen=True)
class SampleKey:
    """Identifies one sample of a run; all its random choices derive from (seed, epoch, index)."""

    epoch: int
    index: int


@dataclass(frozen=True)
class StepKeys:
    """Identifies one step of a run on one rank; `Task.sample_params` derives its randomness from this alone.

    Attributes:
        seed: Seed of the run.
        step: Global step, the same on every rank.
        epoch: Epoch of the step.
        indices: Sample indices of this rank's part of the batch.
    """

    seed: int
    step: int
    epoch: int
    indices: tuple[int, ...]


@dataclass(frozen=True)
class ReadFailure:
    """A file that the manifest lists as usable, but that could not be read."""

    path: str
    cause: str


@dataclass(frozen=True)
class Batch:
    """Collated samples, by view name.

    Attributes:
        video: Frames, uint8 (B, C, T, H, W) by view; stored channels last, as the workers crop them.
        audio: Waveforms, float32 (B, S) by view.
        audio_valid: Share of each waveform that is real audio, float32 (B,) by view.
        index: Positions of the samples in the list, int64 (B,) (of the replacement where a file failed).
        label: Labels, int64 (B,) or None.
        failures: Files that could not be read and were replaced.
    """

    video: dict[str, Tensor]
    audio: dict[str, Tensor]
    audio_valid: dict[str, Tensor]
    index: Tensor
    label: Tensor | None = None
    failures: tuple[ReadFailure, ...] = ()

    def __post_init__(self) -> None:
        size = self.index.shape[0]
        for kind, views, ndim in (("video", self.video, 5), ("audio", self.audio, 2)):
            for name, value in views.items():
                if value.ndim != ndim or value.shape[0] != size:
                    raise ValueError(f"{kind}[{name!r}]: expected {ndim} axes and B = {size}, got {describe(value)}")
        if self.audio.keys() != self.audio_valid.keys():
            raise ValueError(
                f"audio and audio_valid must name the same views, got {list(self.audio)} and {list(self.audio_valid)}"
            )

    def __len__(self) -> int:
        return int(self.index.shape[0])

    def __repr__(self) -> str:
        parts = [
            f"{kind}[{name}]={describe(value)}"
            for kind, views in (("video", self.video), ("audio", self.audio))
            for name, value in views.items()
        ]
        return f"Batch(B={len(self)}, {', '.join(parts)}, failures={len(self.failures)})"

    def _map(self, move: Callable[[Tensor], Tensor]) -> "Batch":
        def each(views: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: move(value) for name, value in views.items()}

        label = None if self.label is None else move(self.label)
        return Batch(each(self.video), each(self.audio), each(self.audio_valid), move(self.index), label, self.failures)

    def with_shuffled_audio(self) -> "Batch":
        """Returns the batch with the audio rolled by one: each clip gets the audio of the clip before it."""
        audio, valid = (
            {name: value.roll(1, dims=0) for name, value in views.items()} for views in (self.audio, self.audio_valid)
        )
        return dataclasses.replace(self, audio=audio, audio_valid=valid)

    def to(self, device: torch.device, *, non_blocking: bool = False) -> "Batch":
        """Returns the batch on `device`."""
        return self._map(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Returns the batch in page-locked memory; `DataLoader` calls this."""
        return self._map(lambda x: x.pin_memory())
