"""SpecAugment: bands and columns of a spectrogram set to its mean (Park et al., Interspeech 2019), without warping.

The strengths are those of GDT's released code, which normalizes first, so that filling with 0 gives the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.keyed_random import integer, uniform
from stica_pv.structures import Movable, describe

STRENGTHS = {"none": (0, 0, 0.0, 0.0), "mild": (1, 1, 2.0, 5.0), "medium": (1, 1, 3.0, 6.0), "heavy": (2, 2, 3.0, 6.0)}
"""By name: number of masks over bands and over columns, and the upper bounds of their widths."""


@dataclass(frozen=True)
class SpecAugmentParams(Movable):
    """Masks of each sample.

    Attributes:
        bands: First band and width of each mask, int64 (B, M, 2).
        columns: First column and width of each mask, int64 (B, M', 2).
    """

    bands: Tensor
    columns: Tensor

    def describe(self, row: int) -> str:
        """Describes the masks of a spectrogram."""
        parts = [
            f"{what} {first} to {first + width - 1}"
            for what, masks in (("bands", self.bands), ("columns", self.columns))
            for first, width in masks[row].tolist()
            if width
        ]
        return f"masked: {', '.join(parts)}" if parts else "no mask"

    def mirrored(self, columns: int) -> "SpecAugmentParams":
        """Returns the masks of time-reversed spectrograms of `columns`."""
        first, width = self.columns.unbind(-1)
        return SpecAugmentParams(self.bands, torch.stack((columns - first - width, width), dim=-1))


def sample_spec_augment(
    rngs: Sequence[torch.Generator], strength: str, *, bands: int, columns: int
) -> SpecAugmentParams:
    """Samples the masks of spectrograms of `bands` × `columns`, row b from `rngs[b]`.

    A width is U(0, bound) rounded down, its position uniform over all that fit.
    """
    if strength not in STRENGTHS:
        raise UsageError(f"SpecAugment: got {strength!r}, expected one of {', '.join(STRENGTHS)}")
    over_bands, over_columns, widest_band, widest_column = STRENGTHS[strength]
    sizes = [(over_bands, widest_band, bands), (over_columns, widest_column, columns)]
    sampled = [torch.zeros(len(rngs), masks, 2, dtype=torch.long) for masks, _, _ in sizes]
    for row, rng in enumerate(rngs):
        for table, (masks, widest, length) in zip(sampled, sizes, strict=True):
            for mask in range(masks):
                width = min(int(uniform(0, widest, rng)), length)
                table[row, mask] = torch.tensor([integer(0, length - width, rng), width])
    return SpecAugmentParams(*sampled)


def apply_spec_augment(log_mel: Tensor, params: SpecAugmentParams) -> Tensor:
    """Maps (B, 1, F, T) to the same with the masked bands and columns set to 0."""
    if log_mel.ndim != 4 or len(log_mel) != len(params.bands):
        raise UsageError(f"log_mel: expected (B, 1, F, T) with B = {len(params.bands)}, got {describe(log_mel)}")
    bands = _covered(params.bands, log_mel.shape[2])
    columns = _covered(params.columns, log_mel.shape[3])
    return log_mel.masked_fill(bands[:, None, :, None] | columns[:, None, None, :], 0.0)


def _covered(masks: Tensor, length: int) -> Tensor:
    """Maps masks (B, M, 2) to bool (B, length)."""
    position = torch.arange(length, device=masks.device)
    first, width = masks[..., :1], masks[..., 1:]
    return ((position >= first) & (position < first + width)).any(dim=1)
