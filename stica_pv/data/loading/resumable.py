"""The loader by itself, for training loops without a configuration of this package."""

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stica_pv.data.decoding.reader import Reader, read
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.loading.loader import ClipLoader
from stica_pv.data.loading.sampler import StepSampler
from stica_pv.data.manifest.videos import NoneUsable, Videos, count_causes, open_videos
from stica_pv.data.sources.sources import read_csv, read_folder
from stica_pv.data.sources.video_list import VideoList
from stica_pv.distributed import rank as own_rank
from stica_pv.distributed import world_size as number_of_processes
from stica_pv.errors import UsageError
from stica_pv.structures import Batch, ReadFailure, SampleKey, Views

STATE = ("step", "seed", "batch_size", "list_hash")  # keys of a state


class _InOrder:
    """Each video once, in the order of the list, without an incomplete batch left out; all randomness of epoch 0."""

    def __init__(self, length: int, batch_size: int, rank: int, world_size: int) -> None:
        self._indices, self._batch_size = range(rank, length, world_size), batch_size
        self.start = 0

    def __len__(self) -> int:
        return math.ceil(len(self._indices) / self._batch_size) - self.start

    def __iter__(self) -> Iterator[list[SampleKey]]:
        for first in range(self.start * self._batch_size, len(self._indices), self._batch_size):
            yield [SampleKey(0, index) for index in self._indices[first : first + self._batch_size]]


class ResumableLoader:
    """Iterable over the batches of an epoch; `create_loader` builds it.

    Each ``for`` is one epoch, and the next one has the order and crops of the next epoch. Leaving a ``for`` early ends
    its epoch. After `load_state_dict` the next ``for`` yields the rest of the epoch of the state.

    Attributes:
        videos: Usable videos; ``batch.index`` counts in them.
        excluded: Videos that are left out, with the cause: too short, without audio, an unreadable header.
    """

    def __init__(
        self, videos: Videos, dataset: ClipDataset, order: StepSampler | _InOrder, state: dict[str, Any], **loader: Any
    ) -> None:
        """Take the parts; `create_loader` makes them."""
        self.videos, self._dataset, self._order, self._loader = videos, dataset, order, loader
        self._state, self._step, self._continues = state, 0, False

    @property
    def excluded(self) -> tuple[ReadFailure, ...]:
        """Return the videos that are left out, with the cause."""
        return self.videos.excluded

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        if isinstance(self._order, StepSampler):
            return self._order.steps_per_epoch
        return len(self._order) + self._order.start

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch.

        Raises:
            UnreadableClip: A video and its replacements cannot be read.
            LoaderFailed: Code in the loader raised an error, or a worker was killed.
        """
        epoch, done = divmod(self._step, len(self))
        if done and not self._continues:
            epoch, done = epoch + 1, 0
        self._continues, self._step = False, epoch * len(self) + done
        if isinstance(self._order, StepSampler):
            self._order.start, self._order.end = self._step, (epoch + 1) * len(self)
        else:
            self._order.start = done
        with contextlib.closing(iter(ClipLoader(self._dataset, self._order, **self._loader))) as batches:
            for batch in batches:
                self._step += 1
                yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return the position after the last batch that was yielded, as numbers and text; save it with the model."""
        return {**self._state, "step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last batch that was yielded when the state was taken.

        Raises:
            UsageError: The state is of another list, batch size, seed or number of processes, or no state.
        """
        if set(state) != set(STATE):
            raise UsageError(
                f"loader state: expected {', '.join(STATE)}, got {', '.join(map(str, state)) or 'nothing'}"
            )
        for key, own in self._state.items():
            if state[key] != own:
                raise UsageError(f"loader state: its {key} is {state[key]!r}, that of this loader is {own!r}")
        self._step, self._continues = int(state["step"]), True


def create_loader(
    data: str | Path | Sequence[str],
    views: Views,
    *,
    batch_size: int,
    labels: Sequence[int] | None = None,
    shuffle: bool = True,
    seed: int = 0,
    num_workers: int = 0,
    manifest: str | Path | None = None,
    decoding_short_size: int = 256,
    read_timeout_s: float = 60.0,
    pin_memory: bool = False,
    start_method: str = "fork",
    rank: int | None = None,
    world_size: int | None = None,
) -> ResumableLoader:
    """Builds a loader of clips and their audio, exact to the frame and to the sample, for any training loop.

    A batch is a `Batch`: ``video[name]`` uint8 (B, 3, T, size, size) and ``audio[name]`` float32 (B, S) in -1 to 1, by
    the name of the view; ``label`` int64 (B,) or None; ``index`` int64 (B,), positions in ``loader.videos.paths``.
    Everything random derives from (seed, epoch, video), so that batches do not depend on `num_workers`.

    Args:
        data: A list file with lines ``path label`` or ``path``, a folder of media files, or paths or URIs.
        views: What to read of each video; `random_clip` makes them.
        batch_size: Videos per batch of this process, at least 1.
        labels: Class of each of the paths; a list file has its own.
        shuffle: True: a new order in each epoch, and the incomplete last batch is left out; a video that cannot be read
            is replaced by another one and named in ``batch.failures``. False, for validation: each video once, in the
            order of the list, with the same windows in each epoch; a video that cannot be read is missing from its
            batch. Several processes then take every n-th video, and may have different numbers of batches.
        seed: Seed, the same on all processes.
        num_workers: Worker processes; 0 reads in this process, and then a decoder that crashes ends it.
        manifest: A csv that stores what the headers of the files say, so that the next start does not read them again.
        decoding_short_size: Short side in pixels to which larger frames are scaled in decoding; 0 never scales.
        read_timeout_s: Time limit per video in a worker, in seconds; 0 for none. Decoders run in a process of their
            own there, so that one that hangs or crashes costs one video.
        pin_memory: Whether batches are page-locked, so that copies to a GPU overlap with its work.
        start_method: ``fork`` or ``spawn``, how workers start.
        rank: Rank of this process; None takes that of torch.distributed, 0 without it.
        world_size: Number of processes; None takes that of torch.distributed, 1 without it.

    Raises:
        UsageError: The list is missing or wrong, no video is usable, or fewer are usable than a batch needs.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size: expected at least 1, got {batch_size}")
    rank = own_rank() if rank is None else rank
    world_size = number_of_processes() if world_size is None else world_size
    videos = _usable(_listed(data, labels), views, manifest)
    if shuffle and batch_size * world_size > len(videos.paths):
        raise UsageError(
            f"batch_size {batch_size} on {world_size} processes needs more than the {len(videos.paths)} usable videos"
        )
    order: StepSampler | _InOrder
    if shuffle:
        total = batch_size * world_size
        order = StepSampler(len(videos.paths), batch_size=total, seed=seed, rank=rank, world_size=world_size)
    else:
        order = _InOrder(len(videos.paths), batch_size, rank, world_size)
    reader: Reader = functools.partial(read, short_size=decoding_short_size)
    dataset = ClipDataset(
        videos.paths,
        videos.durations_s,
        views,
        reader=reader,
        seed=seed,
        labels=videos.labels,
        replace_failures=shuffle,
        read_timeout_s=read_timeout_s,
    )
    state = {"seed": seed, "batch_size": batch_size * world_size, "list_hash": videos.list_hash}
    return ResumableLoader(
        videos,
        dataset,
        order,
        state,
        num_workers=num_workers,
        pin_memory=pin_memory,
        start_method=start_method,
        keep_failures=not shuffle,
    )


def _listed(data: str | Path | Sequence[str], labels: Sequence[int] | None) -> VideoList:
    if isinstance(data, str | Path):
        if labels is not None:
            raise UsageError("labels: a list file has its own, and a folder has none; give paths with labels")
        return read_folder(path=str(data)) if Path(data).is_dir() else read_csv(path=str(data))
    paths = [str(path) for path in data]
    if not paths:
        raise UsageError("data: expected at least one path, got none")
    if labels is not None and len(labels) != len(paths):
        raise UsageError(f"labels: expected one for each of the {len(paths)} paths, got {len(labels)}")
    return VideoList(paths, None if labels is None else tuple(labels), (), "")


def _usable(listed: VideoList, views: Views, manifest: str | Path | None) -> Videos:
    path = None if manifest is None else Path(manifest)
    try:
        return open_videos(listed, manifest=path, min_seconds=views.min_seconds, needs_audio=views.needs_audio)
    except NoneUsable as error:
        causes = count_causes(one.cause for one in error.excluded)
        raise UsageError(f"none of the {len(listed)} files of {listed.root} can be used: {causes}") from error
