"""Labeled videos without files, encoders whose features are known, and an evaluation context of both."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.manifest.media_info import MediaInfo, MediaInfoTable
from stica_pv.data.sources.labeled import Fold, LabeledSet
from stica_pv.errors import UnreadableClip
from stica_pv.evaluation.context import EvaluationContext
from stica_pv.evaluation.evaluated_model import ClipFormat, EvaluatedModel, Kind, content_hash
from stica_pv.evaluation.features.loading import Loading
from stica_pv.evaluation.features.store import FeatureStore
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.evaluation.views import views_of
from stica_pv.structures import Clip, ClipRequest
from stica_pv.transforms import ColorSettings, RandomResizedCrop

CPU = torch.device("cpu")
FPS, SIZE, SECONDS, RATE_HZ = 4.0, 4, 3.0, 100
CLIP_FORMAT = ClipFormat(2, FPS, SIZE, SIZE, RATE_HZ, 0.5, RandomResizedCrop(), ColorSettings())


class FakeReader:
    """A frame of video i < 25 at s seconds has the colors (10 i, 10 s, 1); its audio is i / 100 everywhere.

    Videos 25 to 49 have the colors (10 (i - 25), 10 s, 2), and so on.

    Attributes:
        paths: What was read, in this process.
        bad: Files that fail.
        mute: Files whose audio holds nothing.
    """

    def __init__(self, bad: Sequence[str] = (), mute: Sequence[str] = ()) -> None:
        self.paths: list[str] = []
        self.bad, self.mute = set(bad), set(mute)

    def __call__(self, path: str, requests: Mapping[str, ClipRequest]) -> dict[str, Clip]:
        """Returns a clip for each request."""
        self.paths.append(path)
        if path in self.bad:
            raise UnreadableClip(path, "torn")
        return {name: self._clip(path, request) for name, request in requests.items()}

    def _clip(self, path: str, request: ClipRequest) -> Clip:
        number = number_of(path)
        times = request.window.start_s + torch.arange(request.frames) / (request.fps or 1)
        red, blue = 10 * (number % 25), 1 + number // 25
        colors = torch.stack([torch.full_like(times, red), 10 * times, torch.full_like(times, blue)])
        frames = colors.to(torch.uint8).view(3, -1, 1, 1).expand(-1, -1, SIZE, SIZE).contiguous()
        audio = torch.full((request.audio_samples,), number / 100)
        return Clip(frames, times.double(), audio, request.audio_rate_hz, 1.0, 0.0 if path in self.mute else 1.0)


def number_of(path: str) -> int:
    """Number of a video."""
    return int(path.removesuffix(".mp4"))


def videos(
    count: int = 7,
    *,
    request: FeatureRequest | None = None,
    reader: FakeReader | None = None,
    clip_format: ClipFormat = CLIP_FORMAT,
) -> ClipDataset:
    """Returns a list of 3-s videos, seen as evaluations see them: in three clips, if nothing else is said."""
    return ClipDataset(
        [f"{i}.mp4" for i in range(count)],
        [SECONDS] * count,
        views_of(request or FeatureRequest(clips=3), clip_format),
        reader=reader or FakeReader(),
        seed=0,
        replace_failures=False,
    )


class Colors(nn.Module):
    """The mean colors of a clip as its features; counts the clips that it saw in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.clips = 0

    def forward(self, video: Tensor) -> Tensor:
        """Maps (B, 3, T, H, W) to (B, 3)."""
        self.clips += 0 if self.training else len(video)
        return video.float().mean(dim=(2, 3, 4))


class Loudness(nn.Module):
    """The mean of the audio, and a constant 1."""

    def forward(self, audio: Tensor) -> Tensor:
        """Maps (B, S) to (B, 2)."""
        return torch.stack([audio.mean(dim=1), torch.ones(len(audio))], dim=1)


class Normed(nn.Module):
    """A batch-norm on the frames, and the mean of what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(3, momentum=0.3)

    def forward(self, video: Tensor) -> Tensor:
        """Maps (B, 3, T, H, W) to (B, 3)."""
        return self.norm(video.float()).mean(dim=(2, 3, 4)) + 1


def numbers_in(video: Tensor) -> Tensor:
    """Returns the numbers of videos (B,) that `FakeReader` put into frames (B, 3, T, H, W)."""
    red, _, blue = video.float().mean(dim=(2, 3, 4)).unbind(dim=1)
    return (red / 10 + 25 * (blue - 1)).round().long()


class Planted(nn.Module):
    """Reads the number of a video out of its frames and answers by its class: perfect features."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, video: Tensor) -> Tensor:
        """Maps (B, 3, T, H, W) to (B, classes)."""
        numbers = numbers_in(video)
        return nn.functional.one_hot(numbers % self.classes, self.classes).float()


class Noise(nn.Module):
    """Features that depend on the video and reveal nothing about its class."""

    def forward(self, video: Tensor) -> Tensor:
        """Maps (B, 3, T, H, W) to (B, 8)."""
        rngs = [torch.Generator().manual_seed(int(number) + 1) for number in numbers_in(video)]
        return torch.stack([torch.randn(8, generator=rng) for rng in rngs])


def model(name: str, encoder: nn.Module, kind: Kind = "trained", **settings: Any) -> EvaluatedModel:
    """Returns a model for frames."""
    encoders = {"video": encoder}
    return EvaluatedModel(
        name, kind, encoders, settings.pop("clip_format", CLIP_FORMAT), content_hash(encoders, name), **settings
    )


def labeled_set(
    count: int = 24, *, classes: int = 3, siblings: int = 1, folds: int = 1, labels: Tensor | None = None
) -> LabeledSet:
    """Returns videos of which every other third, quarter … is the test of a fold."""
    numbers = torch.arange(count)
    groups = numbers // (classes * siblings)
    made = tuple(
        Fold(str(i + 1), numbers[groups % (folds + 1) != i], numbers[groups % (folds + 1) == i]) for i in range(folds)
    )
    return LabeledSet(
        name="made",
        paths=[f"{i}.mp4" for i in range(count)],
        labels=numbers % classes if labels is None else labels,
        class_names=tuple(map(str, range(classes))),
        groups=groups,
        folds=made,
        root="",
        hash=f"{count} {classes} {folds}",
    )


def made_context(
    folder: Path,
    models: Sequence[EvaluatedModel],
    labeled: LabeledSet | None = None,
    *,
    reader: FakeReader | None = None,
    silent: Sequence[str] = (),
    loading: Loading = Loading(CPU, clips_at_once=8, num_workers=0),  # noqa: B008 - a frozen value
    **settings: Any,
) -> EvaluationContext:
    """Returns an evaluation context of made videos; `silent` ones say in their headers that they have no audio."""
    labeled, reader = labeled or labeled_set(), reader or FakeReader()
    headers = MediaInfoTable(
        MediaInfo(
            path,
            size_bytes=1,
            video_seconds=SECONDS,
            audio_seconds=0.0 if path in silent else SECONDS,
            video_codec="raw",
            audio_codec="" if path in silent else "pcm",
        )
        for path in labeled.paths
    )
    return EvaluationContext(
        labeled,
        models,
        headers,
        folder=folder,
        loading=loading,
        reader_of=lambda clip_format: reader,
        **{"seed": 0, **settings},
        store=FeatureStore(folder / "features", "float32"),
    )
