"""Checks shared by the settings of all color augmentations: STiCA's, SimCLR's and BraVe's."""

from stica_pv.errors import UsageError


def check_shares(**shares: float) -> None:
    """Refuses probabilities outside [0, 1]; messages use the argument names."""
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise UsageError(f"{name}: expected 0 to 1, got {value}")


def check_strengths(brightness: float, contrast: float, saturation: float, hue: float) -> None:
    """Refuses strengths below 0, and a hue shift of more than half the color circle."""
    strengths = brightness, contrast, saturation
    if min(strengths) < 0 or not 0 <= hue <= 0.5:
        raise UsageError(
            f"brightness, contrast, saturation must be >= 0 and hue from 0 to 0.5, got {strengths} and {hue}"
        )


def check_blur(sigma: tuple[float, float], kernel: int) -> None:
    """Refuses bounds of a standard deviation that are not 0 < low <= high, and an even number of taps."""
    if not 0 < sigma[0] <= sigma[1]:
        raise UsageError(f"blur_sigma: expected 0 < low <= high, got {sigma}")
    if kernel < 1 or kernel % 2 == 0:
        raise UsageError(f"blur_kernel: expected an odd kernel of at least 1 tap, got {kernel}")
