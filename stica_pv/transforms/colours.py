"""Changes of colour in HSV and to gray, on which SimCLR's distortion and BraVe's colours are built."""

import torch
from torch import Tensor

GRAY_WEIGHTS = (0.299, 0.587, 0.114)  # Rec. 601 luma


def saturate(x: Tensor, factor: Tensor) -> Tensor:
    """Multiplies the saturation of HSV, at most to 1; hue and value stay.

    Args:
        x: Colours (R, 3, T, H, W).
        factor: (R, 1, 1, 1, 1), >= 0.

    Returns:
        The shape of `x`; colours outside [0, 1] count as the nearest that HSV can hold.
    """
    top, bottom = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    chroma = (top - bottom).clamp_min(torch.finfo(x.dtype).tiny)
    return top - (top - x) * torch.minimum(factor, (top / chroma).clamp_min(0))


def shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    """Turns the hue of HSV by a share of the circle; saturation and value stay.

    Args:
        x: Colours (R, 3, T, H, W).
        shift: (R, 1, 1, 1, 1), a share of the circle.

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
    """Maps colours (R, 3, T, H, W) to their luma, three times."""
    weights = x.new_tensor(GRAY_WEIGHTS).view(3, 1, 1, 1)
    return (x * weights).sum(1, keepdim=True).expand_as(x)
