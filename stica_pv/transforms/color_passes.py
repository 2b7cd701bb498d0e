"""Color jitter, gray and normalization of a clip in few passes over its pixels.

Every step is affine in the colors of a frame, and successive steps combine to one matrix and one offset. Only a step
that clips needs the intermediate pixels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from stica_pv.transforms.color_params import BRIGHTNESS, CONTRAST, ColorSettings


class ColorPass:
    """Maps the C channels x of each frame to D: ``matrix x + offset + gain · level``, clipped to [0, 1] if `clips`.

    The level is the mean gray of the frame where its contrast changes, ``weights · means + black`` of the means of the
    input channels.
    """

    def __init__(self, affine: "Affine", *, clips: bool) -> None:
        self.affine, matrix = affine, affine.matrix.float()
        channels, given = matrix.shape
        factors = matrix.diagonal() if given > 1 else matrix[:, 0]
        self.channels, self.clips = channels, clips
        self._matrix = matrix if given > 1 and not torch.equal(matrix, torch.diag(factors)) else None
        self._factors = factors[:, None, None, None]
        self._factor = float(factors[0]) if bool((factors == factors[0]).all()) else None
        self._offset, self._gain = affine.offset.float()[:, None], affine.gain.float()[:, None]
        self._level = None if affine.level is None else (affine.level[0].float(), affine.level[1])

    def offsets(self, x: Tensor) -> Tensor:
        """Returns the offset of each channel of each frame of (C, H, t, W), as (D, 1, t or 1, 1)."""
        if self._level is None:
            return self._offset[..., None, None]
        weights, black = self._level
        level = torch.mv(x.mean((1, 3)).T, weights).add_(black)
        return torch.addcmul(self._offset, self._gain, level)[:, None, :, None]

    def write(self, x: Tensor, offsets: Tensor, *, scratch: Tensor, into: Tensor) -> None:
        """Writes the colors of x (C, H, t, W) to (D, H, t, W), which may be the first channels of x.

        Args:
            x: Input, float32, contiguous.
            offsets: Result of `offsets`.
            scratch: Contiguous memory for (D, H, t, W).
            into: Output.
        """
        if self._matrix is not None:
            mixed = torch.mm(self._matrix, x.flatten(1), out=scratch[: self.channels].flatten(1))
            torch.add(mixed.view(-1, *x.shape[1:]), offsets, out=into)
        elif self._factor is not None:
            torch.add(offsets, x, alpha=self._factor, out=into)
        else:
            torch.mul(x, self._factors, out=into).add_(offsets)
        if self.clips:
            into.clamp_(0, 1)


class Affine:
    """Combined steps, in double precision; see `ColorPass` for the attributes."""

    def __init__(self, channels: int = 3) -> None:
        self.matrix = torch.eye(channels, dtype=torch.float64)
        self.offset = self.gain = torch.zeros(channels, dtype=torch.float64)
        self.level: tuple[Tensor, float] | None = None

    def mix(self, matrix: Tensor) -> None:
        """Multiplies the colors."""
        self.matrix, self.offset, self.gain = matrix @ self.matrix, matrix @ self.offset, matrix @ self.gain

    def contrast(self, factor: float, gray: Tensor) -> None:
        """Blends with the mean gray of the frame; at most one such step can be combined."""
        self.level = gray @ self.matrix, float(gray @ self.offset)
        self.mix(factor * torch.eye(len(gray), dtype=torch.float64))
        self.gain = self.gain + (1 - factor)

    def normalize(self, settings: ColorSettings) -> None:
        """Normalizes; a single channel becomes three."""
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in (settings.mean, settings.std))
        self.mix(torch.diag(1 / std) if len(self.matrix) > 1 else (1 / std)[:, None])
        self.offset = self.offset - mean / std


def color_passes(
    order: Sequence[int], factors: Sequence[float], *, gray: bool, scale: float, settings: ColorSettings
) -> list[ColorPass]:
    """Combines the color steps of a clip; a blur goes before the last pass.

    Args:
        order: BRIGHTNESS, CONTRAST and SATURATION in their order of application.
        factors: Factor of each step, indexed by step; 1 changes nothing.
        gray: Whether the clip becomes gray. The input of the last pass is then a single channel.
        scale: Factor that maps values to [0, 1].
        settings: Settings whose mean, std, gray weights and style are used.

    Returns:
        At least one pass; the last does not clip.
    """
    released, one = settings.style == "released", torch.eye(3, dtype=torch.float64)
    weights = torch.tensor(settings.gray_weights, dtype=torch.float64)
    passes: list[ColorPass] = []
    combined = Affine()
    combined.mix(scale * one)
    if released:
        combined.normalize(settings)
    for step in order:
        factor = factors[step]
        if factor == 1:
            continue
        if step == CONTRAST:
            combined.contrast(factor, weights)
        else:
            combined.mix(factor * one + (0 if step == BRIGHTNESS else (1 - factor) * weights.expand(3, -1)))
        if factor > 1 and not released:  # a smaller one leads towards the base, which is in [0, 1] too
            passes.append(ColorPass(combined, clips=True))
            combined = Affine()
    if gray:
        combined.mix(weights[None])
        passes.append(ColorPass(combined, clips=False))
        combined = Affine(1)
    if not released:
        combined.normalize(settings)
    elif gray:
        combined.mix(torch.ones(3, 1, dtype=torch.float64))
    return [*passes, ColorPass(combined, clips=False)]
