"""Adapters: pytorchvideo's clip samplers as window policies, and its labeled paths as lists of videos."""

import copy
import functools
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import stica_pv.compat  # noqa: F401 - a spawned worker finds their samplers in a pickle, behind a function of this file

import torch

from stica_pv.data.sources.video_list import LARGEST_LABEL, VideoList
from stica_pv.errors import UsageError
from stica_pv.keyed_random import integer
from stica_pv.structures import AtEnd, Window, WindowPolicy

ClipSampler = Callable[[float, float, dict[str, Any]], Any]
"""A `pytorchvideo.data.ClipSampler`: (end of the last clip, duration of the video, annotation) -> ClipInfo."""

_MAX_CLIPS = 10_000
_TRIAL_SECONDS = 60.0


def sampled_clip(name: str, sampler: ClipSampler, at_end: AtEnd = "shift") -> WindowPolicy:
    """Return a policy of one window: a clip of the sampler, chosen uniformly if it makes several of a video.

    It can be pickled if the sampler can, as those of pytorchvideo, so it works with ``DATA_LOADER.START_METHOD spawn``.

    Args:
        name: Name of the window.
        sampler: Result of `pytorchvideo.data.make_clip_sampler`; "random", "uniform", "constant_clips_per_video" …
        at_end: Handling of a clip that exceeds the end of its file.

    Raises:
        UsageError: The sampler uses other randomness than Python's `random`, so that its clips are not reproducible.
    """
    _check_repeats(sampler)
    return functools.partial(_sample_one, name, sampler, at_end)


def _sample_one(
    name: str, sampler: ClipSampler, at_end: AtEnd, duration_s: float, rng: torch.Generator
) -> dict[str, Window]:
    windows = _windows(sampler, duration_s, at_end, seed=integer(0, 2**62, rng))
    return {name: windows[integer(0, len(windows) - 1, rng)]}


def sampled_clips(names: Sequence[str], sampler: ClipSampler, at_end: AtEnd = "shift") -> WindowPolicy:
    """Return a policy of several windows: all clips of a sampler, in its order; picklable as `sampled_clip`.

    Args:
        names: Names of the windows, one for each clip that the sampler makes of a video.
        sampler: Sampler as in `sampled_clip`; "constant_clips_per_video" or "random_multi".
        at_end: Handling of a clip that exceeds the end of its file.

    Raises:
        UsageError: As in `sampled_clip`; from the policy if a video gives another number of clips.
    """
    _check_repeats(sampler)
    return functools.partial(_sample_all, tuple(names), sampler, at_end)


def _sample_all(
    names: Sequence[str], sampler: ClipSampler, at_end: AtEnd, duration_s: float, rng: torch.Generator
) -> dict[str, Window]:
    windows = _windows(sampler, duration_s, at_end, seed=integer(0, 2**62, rng))
    if len(windows) != len(names):
        raise UsageError(
            f"{type(sampler).__name__} makes {len(windows)} clips of a video of {duration_s:.2f} s, there are "
            f"{len(names)} names; use a sampler with a fixed number of clips, such as constant_clips_per_video"
        )
    return dict(zip(names, windows, strict=True))


def _windows(sampler: ClipSampler, duration_s: float, at_end: AtEnd, *, seed: int) -> list[Window]:
    with _seeded(seed):
        return [Window(start_s, seconds, at_end) for start_s, seconds in _clips(sampler, duration_s)]


def _clips(sampler: ClipSampler, duration_s: float) -> Iterator[tuple[float, float]]:
    """Yield (start, length) in seconds of all clips of a video; copies the sampler, which has a state."""
    sampler = copy.deepcopy(sampler)
    if hasattr(sampler, "reset"):
        sampler.reset()
    last_s: Any = 0.0  # a Fraction after the first clip, which the samplers compare exactly
    for _ in range(_MAX_CLIPS):
        start, end, _, aug_index, is_last = sampler(last_s, duration_s, {})
        if isinstance(start, list):
            yield from ((float(first), float(after - first)) for first, after in zip(start, end, strict=True))
            last_s, is_last = end[-1], is_last[-1]
        else:
            if aug_index == 0:  # the others repeat the same clip
                yield float(start), float(end - start)  # of the fractions, so that all clips have one length
            last_s = end
        if is_last:
            return
    raise UsageError(f"{type(sampler).__name__} makes more than {_MAX_CLIPS} clips of a video of {duration_s:.2f} s")


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed Python's `random`, which pytorchvideo's samplers use, and restores its state on exit."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def _check_repeats(sampler: ClipSampler) -> None:
    first, second = (_windows(sampler, _TRIAL_SECONDS, "pad", seed=0) for _ in range(2))
    if first != second:
        raise UsageError(
            f"{type(sampler).__name__} gives different clips for the same state of Python's `random`; it must use no "
            "other randomness, so that runs are reproducible"
        )


def from_labeled_paths(labeled_paths: Any, *, root: str = "", label_key: str = "label") -> VideoList:
    """Make a list of videos from pytorchvideo's `LabeledVideoPaths`, or any sequence of (path, dict).

    Args:
        labeled_paths: Pairs of a path and a dict with the class under `label_key`; -1 and None mean unknown.
        root: Folder that the names are relative to; "" for their common folder.
        label_key: Key of the class in the dict.

    Raises:
        UsageError: There are no pairs, a class is no number from 0 on, or only some classes are known.
    """
    pairs = [labeled_paths[index] for index in range(len(labeled_paths))]
    if not pairs:
        raise UsageError("the labeled paths are empty; expected pairs of a path and a dict")
    paths = tuple(str(path) for path, _ in pairs)
    labels = [_label(path, info, label_key) for path, info in pairs]
    known = tuple(label for label in labels if label is not None)
    if known and len(known) != len(labels):
        missing = paths[labels.index(None)]
        raise UsageError(f"either all labeled paths have a class or none, {missing} has none under {label_key!r}")
    names = tuple(str(label) for label in range(max(known) + 1)) if known else ()
    return VideoList(paths, known or None, names, root or _common_folder(paths))


def _label(path: str, info: Mapping[str, Any] | None, key: str) -> int | None:
    value = (info or {}).get(key)
    if value is None or value == -1:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_LABEL:
        raise UsageError(f"{path}: expected a class 0, 1, 2, … of at most {LARGEST_LABEL} under {key!r}, got {value!r}")
    return value


def _common_folder(paths: Sequence[str]) -> str:
    folders = {os.path.dirname(path) for path in paths}
    mixed = len({os.path.isabs(path) for path in paths}) > 1 or any("://" in path for path in paths)
    return "." if mixed else os.path.commonpath(folders) or "."
