"""Views of an evaluation: a grid of clips over each item, with spatial crops of each frame."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from stica_pv.errors import UsageError, check_choice
from stica_pv.evaluation.evaluated_model import ClipFormat
from stica_pv.evaluation.requests import STARTS, TEST_TRANSFORMS, TRAINING_TRANSFORMS, FeatureRequest, Starts
from stica_pv.keyed_random import generator, integer, uniform
from stica_pv.structures import AtEnd, AudioSpec, FrameTransform, Views, ViewSpec, Window, WindowPolicy
from stica_pv.transforms import ColorSettings, FixedCrop, apply_color, sample_color
from stica_pv.transforms.windows import SHORT_VIDEOS, ShortVideos, end_of

CROP_POSITIONS = {1: (0.5,), 3: (0.0, 0.5, 1.0)}
RELEASED_SHORT_SIDE = (128, 160)


@dataclass(frozen=True)
class ReleasedTestCrop:
    """The released test crop, with random scale: the training range overwrites its fixed scale."""

    position: float

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Map uint8 (C, T, H, W) to uint8 (C, T, size, size)."""
        short_side = integer(max(size, RELEASED_SHORT_SIDE[0]), max(size, RELEASED_SHORT_SIDE[1]), rng)
        return FixedCrop(short_side=short_side, position=self.position, antialias=False)(frames, size, rng)


@dataclass(frozen=True)
class KeyedColor:
    """Augment colors and normalize frames on the device; randomness is keyed by view and item.

    Attributes:
        settings: Color settings of training; blur is disabled.
        seed: Seed of the run.
    """

    settings: ColorSettings
    seed: int

    def __call__(self, video: Tensor, view: str, indices: Tensor) -> Tensor:
        """Map uint8 (B, 3, T, H, W) to normalized float32 of that shape."""
        settings = replace(self.settings, blur_prob=0.0)
        rngs = [generator("test photometry", self.seed, view, index) for index in indices.tolist()]
        return apply_color(video, sample_color(rngs, settings).to(video.device), settings)


def grid_windows(
    clips: int,
    seconds: float,
    *,
    sampled: bool = False,
    starts: Starts = "spaced",
    step_seconds: float = 0.0,
    short_videos: ShortVideos = "loop",
) -> WindowPolicy:
    """Return the policy that selects `clips` windows of an item; short items are never dropped.

    Args:
        clips: Number of windows.
        seconds: Length of a window.
        sampled: Whether to sample starts uniformly and ignore `starts`.
        starts: Starts of the clips; see `FeatureRequest`.
        step_seconds: Distance of the starts; see `FeatureRequest`.
        short_videos: Rule for short videos; see `FeatureRequest`.
    """
    if step_seconds:
        return partial(_steps, clips, seconds, step_seconds)
    released = starts == "released" and not sampled
    # Not a local function, since spawned workers must unpickle it.
    return partial(_grid, clips, seconds, sampled, released, end_of(short_videos))


def _steps(
    clips: int, seconds: float, step_seconds: float, duration_s: float, rng: torch.Generator
) -> dict[str, Window]:
    return {f"clip{i}": Window(i * step_seconds, seconds, "pad") for i in range(clips)}


def _grid(
    clips: int,
    seconds: float,
    sampled: bool,
    released: bool,
    short: AtEnd,
    duration_s: float,
    rng: torch.Generator,
) -> Mapping[str, Window]:
    slack = max(0.0, duration_s - seconds)
    if released:
        shares = [i / clips for i in range(clips)]
    else:
        shares = [0.5 if clips == 1 else i / (clips - 1) for i in range(clips)]
    starts = [uniform(0.0, slack, rng) if sampled else slack * share for share in shares]
    at_end = short if slack == 0 else "shift"
    return {f"clip{i}": Window(start, seconds, at_end, whole_frames=released) for i, start in enumerate(starts)}


def views_of(request: FeatureRequest, clip_format: ClipFormat) -> Views:
    """Return the views of every item: ``clip0 crop0``, ``clip0 crop1``, … or ``clip0``, ``clip1``, … of audio."""
    check_choice("transform of a request", request.transform, TEST_TRANSFORMS)
    if request.clips < 1 or request.spatial_crops not in CROP_POSITIONS:
        raise UsageError(
            f"an evaluation needs at least one clip, and 1 or 3 crops of it, got {request.clips} and "
            f"{request.spatial_crops}"
        )
    check_choice("starts of a request", request.starts, STARTS)
    check_choice("short videos of a request", request.short_videos, SHORT_VIDEOS)
    grid = partial(
        grid_windows,
        request.clips,
        sampled=request.transform == "augmented",
        starts=request.starts,
        step_seconds=request.step_seconds,
        short_videos=request.short_videos,
    )
    if request.modality == "audio":
        audio = AudioSpec(clip_format.audio_rate_hz)
        specs = tuple(ViewSpec(f"clip{i}", f"clip{i}", 0, 0.0, 0, None, audio=audio) for i in range(request.clips))
        return Views(specs, grid(clip_format.audio_seconds), 0.0, needs_audio=False)
    size = size_of(request, clip_format)
    specs = tuple(
        ViewSpec(
            f"clip{i} crop{j}",
            f"clip{i}",
            clip_format.frames,
            clip_format.fps,
            size,
            _crop(request, clip_format, position),
        )
        for i in range(request.clips)
        for j, position in enumerate(CROP_POSITIONS[request.spatial_crops])
    )
    return Views(specs, grid(clip_format.seconds), 0.0, needs_audio=False)


def size_of(request: FeatureRequest, clip_format: ClipFormat) -> int:
    """Return the side in pixels of the frames of a request; training views have the training size."""
    return clip_format.train_size if request.transform in TRAINING_TRANSFORMS else clip_format.size


def _crop(request: FeatureRequest, clip_format: ClipFormat, position: float) -> FrameTransform:
    if request.transform == "fixed":
        return FixedCrop(short_side=clip_format.size, position=position)
    return ReleasedTestCrop(position) if request.transform == "released" else clip_format.random_crop


def color_of(request: FeatureRequest, clip_format: ClipFormat, seed: int) -> KeyedColor | None:
    """Return the color transform before an encoder; None: encoders normalize bytes themselves."""
    if request.modality == "audio" or request.transform in ("fixed", "random_crop"):
        return None
    if request.transform == "released":  # as released, with color jitter at test, so that scores are random
        return KeyedColor(replace(clip_format.color, gray_prob=0.0, style="released"), seed)
    return KeyedColor(clip_format.color, seed)
