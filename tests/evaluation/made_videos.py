"""Labelled videos without files, and encoders whose features are known."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from stica_pv.data.dataset import ClipDataset
from stica_pv.errors import UnreadableClip
from stica_pv.evaluation import grid_views
from stica_pv.structures import Clip, ClipRequest

FPS, SIZE = 4.0, 4


class FakeReader:
    """A picture of video i at s seconds has the colours (10 i, 10 s, 1)."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def __call__(self, path: str, requests: Mapping[str, ClipRequest]) -> dict[str, Clip]:
        """Returns a clip for each request."""
        self.paths.append(path)
        if path == "bad.mp4":
            raise UnreadableClip(path, "torn")
        return {name: self._clip(int(path.removesuffix(".mp4")), request) for name, request in requests.items()}

    def _clip(self, number: int, request: ClipRequest) -> Clip:
        times = request.window.start_s + torch.arange(request.frames) / request.fps
        colours = torch.stack([torch.full_like(times, 10 * number), 10 * times, torch.ones_like(times)])
        frames = colours.to(torch.uint8).view(3, -1, 1, 1).expand(-1, -1, SIZE, SIZE).contiguous()
        return Clip(frames, times.double(), torch.zeros(0), None, 1.0, 0.0)


def videos(
    count: int = 7,
    *,
    clips: int = 3,
    frames: int = 2,
    labels: Sequence[int] | None = None,
    reader: FakeReader | None = None,
) -> ClipDataset:
    """Returns a list of 3-s videos, seen as evaluations see them."""
    views = grid_views(clips=clips, spatial_crops=1, frames=frames, fps=FPS, size=SIZE)
    return ClipDataset(
        [f"{i}.mp4" for i in range(count)],
        [3.0] * count,
        views,
        reader=reader or FakeReader(),
        seed=0,
        labels=list(labels if labels is not None else range(count)),
        replace_failures=False,
    )


class Colours(nn.Module):
    """The mean colours of a clip as its features; counts the clips that it saw in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.clips = 0

    def forward(self, video: Tensor) -> Tensor:
        """Maps (B, 3, T, H, W) to (B, 3)."""
        self.clips += 0 if self.training else len(video)
        return video.float().mean(dim=(2, 3, 4))


class Normed(nn.Module):
    """A batch-norm on the pictures, and the mean of what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(3, momentum=0.3)

    def forward(self, video: Tensor) -> Tensor:
        """Maps (B, 3, T, H, W) to (B, 3)."""
        return self.norm(video.float()).mean(dim=(2, 3, 4)) + 1
