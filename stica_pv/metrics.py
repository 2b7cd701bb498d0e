"""Metrics that detect a collapsing embedding, cheap enough for every step, without synchronizing with the device."""

import torch
from torch import Tensor

MONITORS = ("spread", "rank", "uniformity", "misalignment")  # beginnings of their names in the records


@torch.no_grad()
def spread(rows: Tensor) -> Tensor:
    """Returns the mean standard deviation of the dimensions, times √D: 0 for equal rows, 1 if spread over the sphere.

    Args:
        rows: Unit rows (N, D).

    Returns:
        0-d tensor.
    """
    rows = _in_full(rows)
    centered = rows - rows.mean(dim=0)  # `std` along rows is ten times slower on a CPU
    return centered.square_().mean(dim=0).sqrt_().mean() * rows.shape[1] ** 0.5


@torch.no_grad()
def effective_rank(rows: Tensor) -> Tensor:
    """Returns the participation ratio (Σλ)² / Σλ² of the covariance's eigenvalues λ: the number of used directions.

    It needs only the trace and the Frobenius norm, no decomposition.

    Args:
        rows: (N, D).

    Returns:
        0-d tensor, 1 to min(N - 1, D); 0 when all rows are equal.
    """
    rows = _in_full(rows)
    centered = rows - rows.mean(dim=0)
    with torch.autocast(rows.device.type, enabled=False):
        gram = centered @ centered.mT if rows.shape[0] < rows.shape[1] else centered.mT @ centered
    # Equal rows leave rounding errors, whose "rank" would mean nothing.
    return gram.diagonal().sum().square() / gram.square().sum().clamp(min=1e-12)


@torch.no_grad()
def uniformity(rows: Tensor) -> Tensor:
    """Returns log mean exp(-2 ‖x - y‖²) over pairs of different rows (Wang & Isola, ICML 2020): 0 when collapsed.

    Args:
        rows: Unit rows (N, D), N >= 2.

    Returns:
        0-d tensor, -8 to 0.
    """
    rows = _in_full(rows)
    with torch.autocast(rows.device.type, enabled=False):
        kernel = (4 * (rows @ rows.mT) - 4).exp()  # ‖x - y‖² = 2 - 2 x·y
    count = rows.shape[0]
    return ((kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))).clamp(min=1e-30).log()


@torch.no_grad()
def misalignment(first: Tensor, second: Tensor) -> Tensor:
    """Returns the squared distance ‖x - y‖² of partners (the "alignment" of Wang & Isola, ICML 2020), row by row.

    Args:
        first: Unit rows (…, B, D).
        second: Partners of these rows, of the same shape.

    Returns:
        (…, B), 0 to 4.
    """
    return (first - second).square().sum(dim=-1)


def _in_full(rows: Tensor) -> Tensor:
    """Returns the rows in fp32 or better: squares of small numbers are 0 in fp16."""
    return rows.to(torch.promote_types(rows.dtype, torch.float32))
