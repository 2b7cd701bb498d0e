"""Watches how the samples of a batch are made, and changes nothing of them: windows, crop boxes, times of frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from stica_pv.data.isolation.guard import Reader
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.structures import Clip, ClipRequest, FrameTransform, Window, WindowPolicy
from stica_pv.transforms import CropBox


@dataclass
class DrawnSample:
    """How one sample was made.

    Attributes:
        path: The file that was read.
        seconds: Its length.
        windows: What was drawn on its time line, by name.
        clips: What the file gave, by window.
        boxes: Part of the source frames that each view shows; None for a transform that does not tell.
    """

    path: str = ""
    seconds: float = 0.0
    windows: dict[str, Window] = field(default_factory=dict)
    clips: dict[str, Clip] = field(default_factory=dict)
    boxes: dict[str, CropBox | None] = field(default_factory=dict)


class Recorder:
    """Listens to a data set that makes one sample after the other in this process.

    Attributes:
        sample: How the last sample was made; a failed try leaves nothing in it.
    """

    def __init__(self, dataset: ClipDataset) -> None:
        """Puts itself between the data set and its window policy, reader and transforms."""
        self.sample = DrawnSample()
        views = dataset.views
        self._draw_windows: WindowPolicy = views.draw_windows
        self._reader: Reader = dataset.reader
        specs = tuple(
            spec if spec.transform is None else replace(spec, transform=_Watched(self, spec.name, spec.transform))
            for spec in views.specs
        )
        dataset.views = replace(views, specs=specs, draw_windows=self._windows)
        dataset.reader = self._read

    def _windows(self, seconds: float, rng: torch.Generator) -> Mapping[str, Window]:
        windows = self._draw_windows(seconds, rng)
        self.sample = DrawnSample(seconds=seconds, windows=dict(windows))
        return windows

    def _read(self, path: str, requests: Mapping[str, ClipRequest]) -> Mapping[str, Clip]:
        clips = self._reader(path, requests)
        self.sample.path, self.sample.clips = path, dict(clips)
        return clips


@dataclass(frozen=True)
class _Watched:
    """A transform of frames that tells the recorder which box it cuts."""

    recorder: Recorder
    view: str
    transform: FrameTransform

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Maps (C, T, H, W) to (C, T, size, size), with the draws of the transform itself."""
        self.recorder.sample.boxes[self.view] = self._box(frames, size, rng)
        return self.transform(frames, size, rng)

    def _box(self, frames: Tensor, size: int, rng: torch.Generator) -> CropBox | None:
        draw = getattr(self.transform, "draw", None)
        if draw is None:
            return None
        twin = torch.Generator().set_state(rng.get_state())  # the draws themselves are left to the transform
        box = draw(frames.shape[2], frames.shape[3], size, twin)
        return box if isinstance(box, CropBox) else None
