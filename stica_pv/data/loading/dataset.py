"""Videos as samples: windows are sampled, the file is read once, views are cut; a file that fails is replaced."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stica_pv.data.decoding.reader import Reader
from stica_pv.data.isolation.isolated import Isolated
from stica_pv.data.isolation.worker_process import KILLED, WorkerFailure, is_lasting
from stica_pv.data.loading.shared_memory import SharedIntegers
from stica_pv.errors import UnreadableClip
from stica_pv.keyed_random import generator, integer
from stica_pv.structures import Batch, ClipRequest, ReadFailure, SampleKey, Views, ViewSpec, Window

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

    A sample depends on its file only, and all randomness derives from (seed, epoch, index). With a
    time limit, loader workers make samples in a separate process (`Isolated`), so that a crash is a failure too.
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
        read_timeout_s: float | None = None,
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
            read_timeout_s: Time limit per sample in a loader worker, in seconds; 0 for none. None makes samples in the
                worker itself: a decoder that crashes then ends the run.
        """
        if len(paths) != len(durations_s) or (labels is not None and len(labels) != len(paths)):
            raise ValueError("paths, durations and labels differ in length")
        self.paths, self.durations_s, self.labels = paths, durations_s, labels
        self.views, self.reader, self.seed = views, reader, seed
        self.replace_failures = replace_failures
        self._make: Callable[[int, SampleKey, int], Sample | WorkerFailure] = self.make_sample
        if read_timeout_s is not None:
            self._make = Isolated(self.make_sample, timeout_s=read_timeout_s)
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
                sample = self._make(index, key, attempt)
                if isinstance(sample, WorkerFailure):
                    raise UnreadableClip(self.paths[index], sample.cause)
                return replace(sample, failures=tuple(failures))
            except UnreadableClip as error:
                failures.append(ReadFailure(error.path, error.cause))
                if is_lasting(error.cause):
                    self._skip_from[index] = key.epoch
        more = f"; so did {len(failures) - 1} replacements: check the disk" if len(failures) > 1 else ""
        return ReadFailure(failures[0].path, failures[0].cause + more)

    def make_sample(self, index: int, key: SampleKey, attempt: int = 0) -> Sample:
        """Make a sample in this process: sample the windows, read the file once, and cut the views from its clips.

        Args:
            index: Position of the video.
            key: Key of the sample.
            attempt: Number of videos that failed for this key before.

        Raises:
            UnreadableClip: The video cannot be used.
        """
        path, rng = self.paths[index], generator("sample", self.seed, key.epoch, key.index, attempt)
        windows = self.views.draw_windows(self.durations_s[index], rng)
        sharing = {name: [spec for spec in self.views.specs if spec.window == name] for name in windows}
        clips = self.reader(path, {name: _request(window, sharing[name]) for name, window in windows.items()})
        audio_error = next((clip.audio_error for clip in clips.values() if clip.audio_error), "")
        if self.views.needs_audio and audio_error:
            raise UnreadableClip(path, audio_error)
        sample = Sample({}, {}, {}, index, None if self.labels is None else self.labels[index], ())
        for spec in self.views.specs:
            clip = clips[spec.window]
            if spec.transform is not None and spec.frames:
                cropped = spec.transform(clip.flow if spec.flow else clip.unique_frames, spec.size, rng)
                view = cropped if spec.flow else clip.over_time(cropped)
                sample.video[spec.name] = _channels_last(view.flip(1) if spec.reversed else view)
            if spec.audio is not None:
                sample.audio[spec.name] = clip.audio.flip(0) if spec.reversed else clip.audio
                sample.audio_valid[spec.name] = clip.audio_valid
        return sample


def _channels_last(view: Tensor) -> Tensor:
    """Return (C, T, H, W) in memory of (T, H, W, C), so that a batch copies the sample at once."""
    return view.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)


def _request(window: Window, sharing: Sequence[ViewSpec]) -> ClipRequest:
    """Return what the views that share a window need of the file."""
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
