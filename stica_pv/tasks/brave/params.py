"""Names of BraVe's views, augmentation of their frames, and the random choices of a step."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.tasks.base import AugmentationParams
from stica_pv.transforms import BraveColorParams, BraveColorSettings, RandomConvolutionParams

VIDEO, FLOW, AUDIO = "video", "flow", "audio"  # kinds of broad views
Mean = tuple[float, float, float]


@dataclass(frozen=True)
class BraveVideo:
    """Augmentation of the frames of one view.

    Attributes:
        color: Blur and colors.
        convolution_prob: Probability of a random convolution.
        mean: Subtracted from the channels (on [0, 1]) at the end.
        std: Divides them.
    """

    color: BraveColorSettings
    convolution_prob: float = 0.0
    mean: Mean = (0.0, 0.0, 0.0)
    std: Mean = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class BraveParams(AugmentationParams):
    """Random choices of a step: colors and kernels by view with frames, and factors on the audio (B,)."""

    color: dict[str, BraveColorParams]
    convolution: dict[str, RandomConvolutionParams]
    volume: Tensor

    def rows(self, part: slice) -> "BraveParams":
        """Returns empty parameters: `BraVe.prepare` has applied all choices before `BraVe.embed`."""
        return BraveParams({}, {}, self.volume[part])

    def describe(self, view: str) -> tuple[str, ...]:
        """Describes the augmentation of a view's frames, one line per sample."""
        found: list[BraveColorParams | RandomConvolutionParams] = [self.color[view]]
        found += [self.convolution[view]] if view in self.convolution else []
        return tuple(", ".join(params.describe(row) for params in found) for row in range(len(self.volume)))


def name_broad(kinds: Iterable[str]) -> tuple[str, ...]:
    """Names the broad views by their kinds: ``video``, ``video_2``, ``flow``, ``audio``, in the order given.

    Several ``video`` views share the window; each is cropped, colored and convolved independently.

    Raises:
        UsageError: There is no kind, a kind is unknown, or flow or audio is repeated.
    """
    found, names = list(kinds), list[str]()
    for kind in found:
        again = found[: len(names)].count(kind)
        if kind not in (VIDEO, FLOW, AUDIO) or (again and kind != VIDEO):
            names.clear()
            break
        names.append(f"{kind}_{again + 1}" if again else kind)
    if not names:
        raise UsageError(f"BRAVE.BROAD: expected video (once or several times), flow, audio, got {found}")
    return tuple(names)


def kind_of(view: str) -> str:
    """Returns the kind of a view: ``video`` for ``video_2``; ``narrow`` is its own kind."""
    return view.partition("_")[0]
