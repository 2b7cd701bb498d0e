"""Record how the samples of a batch are made, without changing them: windows, crop boxes, frame times."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from stica_pv.data.decoding.reader import Reader
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.structures import Clip, ClipRequest, FrameTransform, Window, WindowPolicy
from stica_pv.transforms import CropBox


@dataclass
class SampledParameters:
    """Sampled parameters of one sample.

    Attributes:
        path: File that was read.
        seconds: Length of the file.
        windows: Sampled windows by name.
        clips: Decoded clips by window.
        boxes: Crop box of each view in the source frames; None for a transform that does not report it.
    """

    path: str = ""
    seconds: float = 0.0
    windows: dict[str, Window] = field(default_factory=dict)
    clips: dict[str, Clip] = field(default_factory=dict)
    boxes: dict[str, CropBox | None] = field(default_factory=dict)


class Recorder:
    """Record the samples of a data set that runs in this process.

    Attributes:
        sample: Parameters of the last sample; a failed attempt leaves no trace.
    """

    def __init__(self, dataset: ClipDataset) -> None:
        """Wrap window policy, reader and transforms of the data set."""
        self.sample = SampledParameters()
        views = dataset.views
        self._sample_windows: WindowPolicy = views.sample_windows
        self._reader: Reader = dataset.reader
        specs = tuple(
            spec
            if spec.transform is None
            else replace(spec, transform=_RecordedTransform(self, spec.name, spec.transform))
            for spec in views.specs
        )
        dataset.views = replace(views, specs=specs, sample_windows=self._windows)
        dataset.reader = self._read

    def _windows(self, seconds: float, rng: torch.Generator) -> Mapping[str, Window]:
        windows = self._sample_windows(seconds, rng)
        self.sample = SampledParameters(seconds=seconds, windows=dict(windows))
        return windows

    def _read(self, path: str, requests: Mapping[str, ClipRequest]) -> Mapping[str, Clip]:
        clips = self._reader(path, requests)
        self.sample.path, self.sample.clips = path, dict(clips)
        return clips


@dataclass(frozen=True)
class _RecordedTransform:
    """A transform of frames that records its crop box."""

    recorder: Recorder
    view: str
    transform: FrameTransform

    def __call__(self, frames: Tensor, size: int, rng: torch.Generator) -> Tensor:
        """Map (C, T, H, W) to (C, T, size, size) with the random state of the transform."""
        self.recorder.sample.boxes[self.view] = self._box(frames, size, rng)
        return self.transform(frames, size, rng)

    def _box(self, frames: Tensor, size: int, rng: torch.Generator) -> CropBox | None:
        sample_box = getattr(self.transform, "sample_box", None)
        if sample_box is None:
            return None
        copy = torch.Generator().set_state(rng.get_state())  # leave the random state to the transform
        box = sample_box(frames.shape[2], frames.shape[3], size, copy)
        return box if isinstance(box, CropBox) else None
