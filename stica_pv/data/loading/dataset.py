"""Videos as samples: windows are sampled, the file is read once, views are cut; a file that fails is replaced."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor
from torch.utils.data import Dataset

from stica_pv.data.decoding.reader import Reader
from stica_pv.data.isolation.isolated import Isolated, isolates
from stica_pv.data.isolation.worker_process import KILLED, WorkerFailure, is_lasting
from stica_pv.data.loading.collate import Sample
from stica_pv.data.loading.shared_memory import SharedIntegers
from stica_pv.errors import UnreadableClip, UsageError
from stica_pv.keyed_random import generator, integer
from stica_pv.structures import ClipRequest, ReadFailure, SampleKey, Views, ViewSpec, Window

MAX_ATTEMPTS = 10
SKIPPED = f"{KILLED} or hung earlier in this run"
_NEVER = 2**31 - 1


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
        if read_timeout_s is not None and read_timeout_s < 0:
            raise UsageError(f"DATA.READ_TIMEOUT_SECONDS must be >= 0, got {read_timeout_s}")
        if len(paths) != len(durations_s) or (labels is not None and len(labels) != len(paths)):
            raise ValueError("paths, durations and labels differ in length")
        self.paths, self.durations_s, self.labels = paths, durations_s, labels
        self.views, self.reader, self.seed = views, reader, seed
        self.replace_failures = replace_failures
        self._timeout_s = read_timeout_s
        self._isolated: Isolated[[int, SampleKey, int], Sample] | None = None
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
                return replace(self._make(index, key, attempt), failures=tuple(failures))
            except UnreadableClip as error:
                failures.append(ReadFailure(error.path, error.cause))
                if is_lasting(error.cause):
                    self._skip_from[index] = key.epoch
        more = f"; so did {len(failures) - 1} replacements: check the disk" if len(failures) > 1 else ""
        return ReadFailure(failures[0].path, failures[0].cause + more)

    def _make(self, index: int, key: SampleKey, attempt: int) -> Sample:
        if self._timeout_s is None or not isolates():
            return self.make_sample(index, key, attempt)
        if self._isolated is None:
            self._isolated = Isolated(self.make_sample, timeout_s=self._timeout_s)
        sample = self._isolated(index, key, attempt)
        if isinstance(sample, WorkerFailure):
            raise UnreadableClip(self.paths[index], sample.cause)
        return sample

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
        windows = self.views.sample_windows(self.durations_s[index], rng)
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
