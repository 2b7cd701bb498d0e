"""NT-Xent between two views of each sample (SimCLR; CVRL, arXiv 2008.03800, section 3.1), keys with gradient.

L_a = mean_i -log [ exp(a_i·b_i / t) / (Σ_j exp(a_i·b_j / t) + Σ_{j≠i} exp(a_i·a_j / t)) ], L_b with the roles swapped.
"""

import torch
from torch import Tensor

from stica_pv.losses.contrastive import MASKED
from stica_pv.precision import full_precision


def nt_xent_rows(views: Tensor, keys: Tensor, *, temperature: float, rank_offset: int) -> Tensor:
    """Returns the loss of each row of both views; chance is ln(2N - 1).

    Args:
        views: Unit rows (2, B, D) of this process, view a and view b.
        keys: Unit rows (2, N, D) of all processes, with gradient.
        temperature: Temperature t > 0.
        rank_offset: Index of this process's first row among the keys.

    Returns:
        (2, B).
    """
    with full_precision(views.device):
        across = views @ keys.flip(0).mT / temperature  # (2, B, N): a with b, b with a
        within = views @ keys.mT / temperature
        position = torch.arange(keys.shape[1], device=keys.device)
        own = position == torch.arange(views.shape[1], device=keys.device).unsqueeze(1) + rank_offset
        logits = torch.cat((across, within.masked_fill(own, MASKED)), dim=-1)
        return logits.logsumexp(dim=-1) - across.diagonal(offset=rank_offset, dim1=-2, dim2=-1)
