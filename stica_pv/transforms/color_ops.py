"""Color operations in HSV and to gray, used by SimCLR's and BraVe's color augmentation."""

from collections.abc import Sequence

import torch
from torch import Tensor

GRAY_WEIGHTS = (0.299, 0.587, 0.114)  # Rec. 601 luma


def saturate(x: Tensor, factor: Tensor) -> Tensor:
    """Multiplies the saturation of HSV, up to 1; hue and value do not change.

    Args:
        x: Colors (R, 3, T, H, W).
        factor: Factor (R, 1, 1, 1, 1), >= 0.

    Returns:
        The shape of `x`; colors outside [0, 1] count as the nearest in HSV.
    """
    top, bottom = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    chroma = (top - bottom).clamp_min(torch.finfo(x.dtype).tiny)
    return top - (top - x) * torch.minimum(factor, (top / chroma).clamp_min(0))


def shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Shifts the hue of HSV by a share of the circle; saturation and value do not change.

    Args:
        x: Colors (R, 3, T, H, W).
        shift: Share of the circle, (R, 1, 1, 1, 1).

    Returns:
        The shape of `x`.
    """
    red, green, blue = x.unbind(1)
    top, bottom = x.amax(1), x.amin(1)
    chroma = (top - bottom).clamp_min(torch.finfo(x.dtype).tiny)
    sixth = torch.where(
        top == red,
        (green - blue) / chroma,
        torch.where(top == green, 2 + (blue - red) / chroma, 4 + (red - green) / chroma),
    )
    sixth = sixth + 6 * shift[:, 0]
    turned = [(offset + sixth).remainder(6) for offset in (5, 3, 1)]
    spread = (top - bottom).unsqueeze(1)
    return top.unsqueeze(1) - spread * torch.stack([torch.minimum(k, 4 - k).clamp(0, 1) for k in turned], dim=1)


def to_gray(x: Tensor) -> Tensor:
    """Maps colors (R, 3, T, H, W) to their luma, three times."""
    return luma(x, GRAY_WEIGHTS).expand_as(x)


def luma(x: Tensor, weights: Sequence[float]) -> Tensor:
    """Mixes (R, 3, T, H, W) into (R, 1, T, H, W) by a weight for each channel."""
    # Python numbers here and below: a tensor would have to be copied to the device, with a synchronization.
    return (x[:, :1] * weights[0]).add_(x[:, 1:2], alpha=weights[1]).add_(x[:, 2:], alpha=weights[2])


def normalize_(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Normalizes (R, 3, T, H, W) in place, by a mean and a standard deviation for each channel."""
    for channel, (mean_of_it, std_of_it) in enumerate(zip(mean, std, strict=True)):
        x[:, channel].sub_(mean_of_it).div_(std_of_it)
    return x
