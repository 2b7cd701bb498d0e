"""Videos as samples: windows are sampled, the file is read once, views are cut; a file that fails is replaced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from stica_pv.data.isolation.guard import Reader, is_lasting, read_then
from stica_pv.data.isolation.worker_process import KILLED
from stica_pv.data.loading.shared_memory import SharedIntegers
from stica_pv.errors import UnreadableClip
from stica_pv.keyed_random import generator, integer
from stica_pv.structures import Batch, Clip, ClipRequest, ReadFailure, SampleKey, Views, ViewSpec, Window

MAX_ATTEMPTS = 10
SKIPPED = f"{KILLED} or hung earlier in this run"
_NEVER = 2**31 - 1

Empty = Callable[[Sequence[int], torch.dtype], Tensor]
"""(shape, dtype) -> an uninitialized tensor."""


def own_memory(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Return a tensor in the memory of this process."""
    return torch.empty(tuple(shape), dtype=dtype)


@dataclass(frozen=True)
class Sample:
    """Views of one video before batching; see `Batch`."""

    video: dict[str, Tensor]
    audio: dict[str, Tensor]
    audio_valid: dict[str, float]
    index: int
    label: int | None
    failures: tuple[ReadFailure, ...]


class ClipDataset(Dataset["Sample | ReadFailure"]):
    """Map-style data set over `SampleKey`; equal keys give equal samples, in any worker.

    A sample depends on its file only, and all randomness derives from (seed, epoch, index).
    """

    def __init__(
        self,
        paths: Sequence[str],
        durations_s: Sequence[float],
        views: Views,
        *,
        reader: Reader,
        seed: int,
        labels: Sequence[int] | None = None,
        replace_failures: bool = True,
    ) -> None:
        """Take the usable videos.

        Args:
            paths: Files or URIs.
            durations_s: Durations of the videos in seconds.
            views: Views to make of each video.
            reader: Returns the clips of a file, or raises `UnreadableClip`.
            seed: Seed of the run.
            labels: Class of each video, if known.
            replace_failures: Replace a video that cannot be read by another one, determined by the key. Evaluation
                sets it to False.
        """
        if len(paths) != len(durations_s) or (labels is not None and len(labels) != len(paths)):
            raise ValueError("paths, durations and labels differ in length")
        self.paths, self.durations_s, self.labels = paths, durations_s, labels
        self.views, self.reader, self.seed = views, reader, seed
        self.replace_failures = replace_failures
        # Epoch from which on a file is skipped; in memory that the workers of this process share.
        self._skip_from = SharedIntegers(len(paths), _NEVER)

    def __len__(self) -> int:
        return len(self.paths)

    def skip(self, epochs: Mapping[str, int]) -> None:
        """Replace files without reading them, each from an epoch on: those that hung or killed a process earlier."""
        if epochs:
            for index, path in enumerate(self.paths):
                if path in epochs:
                    self._skip_from[index] = min(epochs[path], self._skip_from[index])

    def __getitem__(self, key: SampleKey) -> Sample | ReadFailure:
        """Return the sample of a key, or the failure if no replacement is allowed or all of them failed.

        A failure is returned, not raised, so that an evaluation can continue without the sample.
        """
        failures: list[ReadFailure] = []
        index = key.index
        for attempt in range(MAX_ATTEMPTS if self.replace_failures else 1):
            if attempt:
                index = integer(0, len(self) - 1, generator("replacement", self.seed, key.epoch, key.index, attempt))
            if self.replace_failures and key.epoch >= self._skip_from[index]:
                failures.append(ReadFailure(self.paths[index], SKIPPED))
                continue
            try:
                return self._read(index, generator("sample", self.seed, key.epoch, key.index, attempt), tuple(failures))
            except UnreadableClip as error:
                failures.append(ReadFailure(error.path, error.cause))
                if is_lasting(error.cause):
                    self._skip_from[index] = key.epoch
        more = f"; so did {len(failures) - 1} replacements: check the disk" if len(failures) > 1 else ""
        return ReadFailure(failures[0].path, failures[0].cause + more)

    def _read(self, index: int, rng: torch.Generator, failures: tuple[ReadFailure, ...]) -> Sample:
        path = self.paths[index]
        windows = self.views.sample_windows(self.durations_s[index], rng)
        requests = {name: _request(window, self.views.specs, name) for name, window in windows.items()}
        # The views are cut in the process that decodes, so that only small views are sent, not whole frames.
        state = rng.get_state().numpy().tobytes()
        arrays: _ViewArrays = read_then(self.reader, self._cut, path, requests, state)
        label = None if self.labels is None else self.labels[index]
        video = {name: torch.from_numpy(pixels).permute(3, 0, 1, 2) for name, pixels in arrays.video.items()}
        audio = {name: torch.from_numpy(samples) for name, samples in arrays.audio.items()}
        return Sample(video, audio, arrays.audio_valid, index, label, failures)

    def _cut(self, path: str, clips: Mapping[str, Clip], state: bytes) -> "_ViewArrays":
        """Cut the views from the clips; `state` is the state of the sample's generator."""
        for clip in clips.values():
            if self.views.needs_audio and clip.audio_error:
                raise UnreadableClip(path, clip.audio_error)
        rng = torch.Generator().set_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))
        arrays = _ViewArrays({}, {}, {})
        for spec in self.views.specs:
            clip = clips[spec.window]
            if spec.transform is not None and spec.frames:
                view = spec.transform(clip.flow if spec.flow else clip.unique_frames, spec.size, rng)
                view = view if spec.flow else clip.over_time(view)
                view = view.flip(1) if spec.reversed else view
                arrays.video[spec.name] = view.permute(1, 2, 3, 0).contiguous().numpy()
            if spec.audio is not None:
                arrays.audio[spec.name] = (clip.audio.flip(0) if spec.reversed else clip.audio).numpy()
                arrays.audio_valid[spec.name] = clip.audio_valid
        return arrays


@dataclass(frozen=True)
class _ViewArrays:
    """Views of a video by name, as arrays to send between processes: frames (T, H, W, C), audio (S,)."""

    video: dict[str, NDArray[np.uint8]]
    audio: dict[str, NDArray[np.float32]]
    audio_valid: dict[str, float]


def _request(window: Window, specs: Sequence[ViewSpec], name: str) -> ClipRequest:
    sharing = [spec for spec in specs if spec.window == name]
    audio = next((spec.audio for spec in sharing if spec.audio), None)
    return ClipRequest(
        window,
        frames=max((spec.frames for spec in sharing if not spec.flow), default=0),
        fps=max(spec.fps for spec in sharing),
        audio_rate_hz=audio.sample_rate_hz if audio else None,
        flow_frames=max((spec.frames for spec in sharing if spec.flow), default=0),
    )


def shared_bytes(items: Sequence[Sample | ReadFailure]) -> tuple[int, int]:
    """Return the bytes of all views of some samples, and the number of tensors of their batch."""
    views = [(*item.video.values(), *item.audio.values()) for item in items if isinstance(item, Sample)]
    return sum(view.nbytes for sample in views for view in sample), max(map(len, views), default=0)


def collate(items: Sequence[Sample | ReadFailure], empty: Empty = own_memory) -> Batch | ReadFailure:
    """Stack samples (every view has one shape by construction, so nothing is padded), or return the first failure.

    Args:
        items: The samples.
        empty: Allocates the batched views by (shape, dtype). A worker allocates them in memory that it shares with the
            main process: this saves a copy, and avoids fragmentation of its own memory.
    """
    for item in items:
        if isinstance(item, ReadFailure):
            return item
    samples = [item for item in items if isinstance(item, Sample)]
    first = samples[0]
    labels = [sample.label for sample in samples if sample.label is not None]
    return Batch(
        video={name: _stacked_frames([sample.video[name] for sample in samples], empty) for name in first.video},
        audio={name: _stacked([sample.audio[name] for sample in samples], empty) for name in first.audio},
        audio_valid={name: torch.tensor([sample.audio_valid[name] for sample in samples]) for name in first.audio},
        index=torch.tensor([sample.index for sample in samples]),
        label=torch.tensor(labels) if len(labels) == len(samples) else None,
        failures=tuple(failure for sample in samples for failure in sample.failures),
    )


def _stacked(values: Sequence[Tensor], empty: Empty) -> Tensor:
    return torch.stack(list(values), out=empty((len(values), *values[0].shape), values[0].dtype))


def _stacked_frames(views: Sequence[Tensor], empty: Empty) -> Tensor:
    """Stack (C, T, H, W) in their memory layout, channels last, so that whole samples are copied at once."""
    return _stacked([view.permute(1, 2, 3, 0) for view in views], empty).permute(0, 4, 1, 2, 3)


def collate_readable(items: Sequence[Sample | ReadFailure], empty: Empty = own_memory) -> Batch:
    """Stack the samples that were read, possibly none; `Batch.failures` names the others."""
    samples = [item for item in items if isinstance(item, Sample)]
    failures = tuple(item for item in items if isinstance(item, ReadFailure))
    batch = collate(samples, empty) if samples else Batch({}, {}, {}, torch.zeros(0, dtype=torch.int64))
    if isinstance(batch, ReadFailure):
        raise AssertionError("samples collate to a batch")
    return replace(batch, failures=(*batch.failures, *failures))
