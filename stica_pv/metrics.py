"""Metrics that detect a collapsing embedding.

All but `rankme` and `lidar` are cheap enough for every step and do not synchronize with the device.
"""

import torch
from torch import Tensor

from stica_pv.precision import full_precision

MONITORS = ("spread", "rank", "lidar", "uniformity", "misalignment")  # beginnings of their names in the records

EPSILON = 1e-7
"""Added to each share of the spectrum by RankMe and LiDAR."""
WITHIN_RIDGE = 1e-4
"""Added by LiDAR to the diagonal of the covariance within the items (its δ)."""


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
    with full_precision(rows.device):
        gram = centered @ centered.mT if rows.shape[0] < rows.shape[1] else centered.mT @ centered
    # Equal rows leave rounding errors, whose "rank" would mean nothing.
    return gram.diagonal().sum().square() / gram.square().sum().clamp(min=1e-12)


@torch.no_grad()
def rankme(rows: Tensor) -> Tensor:
    """Returns RankMe, exp(-Σ p log p) with p_k = σ_k / Σσ + 1e-7 (Garrido et al., ICML 2023, arXiv 2210.02885).

    Args:
        rows: (N, D) with singular values σ, neither centered nor of unit length.

    Returns:
        0-d float64 tensor, about 1 to min(N, D).
    """
    rows = rows.double()
    with full_precision(rows.device):
        gram = rows @ rows.mT if rows.shape[0] < rows.shape[1] else rows.mT @ rows
        return _entropy_rank(torch.linalg.eigvalsh(gram).clamp(min=0).sqrt())


@torch.no_grad()
def lidar(views: Tensor) -> Tensor:
    """Returns LiDAR, a rank by linear discriminant analysis of the items (Thilak et al., ICLR 2024, arXiv 2312.04000).

    It is exp(-Σ p log p) with p_i = λ_i / Σλ + 1e-7, where λ are the eigenvalues of Σw^(-1/2) Σb Σw^(-1/2), Σb is the
    covariance of the means of the items, and Σw that of views around their mean, plus 1e-4 on its diagonal. Both are
    unbiased estimates. Directions in which the views of an item differ do not count.

    Args:
        views: (V, N, D), N >= 2 views of V >= 2 items.

    Returns:
        0-d float64 tensor, about 1 to min(V - 1, D).
    """
    items, count, dim = views.shape
    if items < 2 or count < 2:
        raise ValueError(f"expected at least two views of at least two items, got {tuple(views.shape)}")
    views = views.double()
    means = views.mean(dim=1)
    around = (views - means.unsqueeze(1)).flatten(0, 1)
    centered = means - means.mean(dim=0)
    with full_precision(views.device):
        within = around.mT @ around / (items * (count - 1))
        within += WITHIN_RIDGE * torch.eye(dim, dtype=within.dtype, device=within.device)
        # With Σw = L Lᵀ, L⁻¹ Σb L⁻ᵀ has the same eigenvalues.
        scaled = torch.linalg.solve_triangular(torch.linalg.cholesky(within), centered.mT, upper=False)
        return _entropy_rank(torch.linalg.eigvalsh(scaled @ scaled.mT / (items - 1)).clamp(min=0))


def _entropy_rank(spectrum: Tensor) -> Tensor:
    """Returns the exponential of the entropy of the shares of a spectrum; 1 if it is all zero."""
    shares = spectrum / spectrum.sum().clamp(min=torch.finfo(spectrum.dtype).tiny) + EPSILON
    return (-(shares * shares.log()).sum()).exp()


@torch.no_grad()
def uniformity(rows: Tensor) -> Tensor:
    """Returns log mean exp(-2 ‖x - y‖²) over pairs of different rows (Wang & Isola, ICML 2020): 0 when collapsed.

    Args:
        rows: Unit rows (N, D), N >= 2.

    Returns:
        0-d tensor, -8 to 0.
    """
    rows = _in_full(rows)
    with full_precision(rows.device):
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
