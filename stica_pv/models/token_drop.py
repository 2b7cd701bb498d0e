"""Token dropping: a transformer computes a random part of the map, and feature crops average that part.

The computed positions are the same in all time steps, as in the tubes of VideoMAE (NeurIPS 2022), so all time steps
of a window average the same ones.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stica_pv.errors import UsageError
from stica_pv.structures import CropPlan


def check_token_drop(share: float, backbone: nn.Module) -> None:
    """Raises `UsageError` if tokens are to be dropped and the trunk cannot."""
    if share and not getattr(backbone, "drops_tokens", False):
        raise UsageError(
            f"MODEL.TOKEN_DROP {share}: this trunk computes its whole map; set it to 0, or use vit_s_16, vit_b_16 or "
            "vit_l_16"
        )


def sample_kept(share: float, positions: int, rngs: Sequence[torch.Generator]) -> Tensor:
    """Samples the positions that are computed, uniform over all subsets of their size.

    Args:
        share: Share of the positions that is dropped; at least one is kept.
        positions: Number of positions H·W.
        rngs: Random generator of each sample.

    Returns:
        int64 (B, K), increasing, with K = max(1, round((1 - share) · positions)).
    """
    count = max(1, round((1 - share) * positions))
    return torch.stack([torch.randperm(positions, generator=rng)[:count].sort().values for rng in rngs])


def keep_computed(plan: CropPlan, kept: Tensor) -> CropPlan:
    """Restricts windows to the computed positions: each window averages those inside it.

    A window without a computed position averages all computed positions of its time steps.

    Args:
        plan: Windows on a map without further pathways, shared by the samples or one set for each.
        kept: Computed positions of each sample, int64 (B, K).
    """
    samples, positions = kept.shape[0], plan.space.shape[-1]
    computed = plan.space.new_zeros(samples, positions).scatter(1, kept, 1.0).unsqueeze(1)
    inside = plan.space * computed  # (B, N, H·W)
    inside = torch.where(inside.any(-1, keepdim=True), inside, computed)
    time = plan.time if plan.time.ndim == 4 else plan.time.expand(samples, -1, -1, -1)
    return CropPlan(inside / inside.sum(-1, keepdim=True), time)
