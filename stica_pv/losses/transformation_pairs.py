"""Contrast over transformation pairs of two modalities: GDT's hypotheses as a table of counts.

Each version (a time, its reversal) of a sample has a video row v and an audio row a. A term compares the rows of one
version and modality with the other modality's rows of all versions. Its keys are split in two parts: the *near* ones
(the query's own sample, or as released all samples of this process) and the *far* ones (the rest). The table counts
each version in either part (GDT, arXiv 2003.04298, sections 3.2 and 4.1).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from stica_pv.errors import check_choice
from stica_pv.losses.contrastive import MASKED, masked_mean
from stica_pv.precision import full_precision

Near = Literal["sample", "process"]
NEAR: tuple[Near, ...] = ("sample", "process")
MODALITIES = 2


@dataclass(frozen=True)
class TransformationPair:
    """One comparison of a query version with its positive, in both directions of the modalities.

    Attributes:
        query: Version of the query.
        positive: Version of its positive.
        near: Count of the near keys of each version, (V,).
        far: Count of the far keys of each version, (V,).
        weight: Weight of the term in the mean.
    """

    query: int
    positive: int
    near: tuple[int, ...]
    far: tuple[int, ...]
    weight: float

    def __post_init__(self) -> None:
        if len(self.near) != len(self.far) or self.near[self.positive] != 1:
            raise ValueError(f"near and far need one count per version, and near must count the positive once: {self}")


class TransformationPairContrast(nn.Module):
    """The weighted mean of -log softmax of every term, over v → a and a → v."""

    query: Tensor
    positive: Tensor
    near: Tensor
    far: Tensor
    weights: Tensor

    def __init__(self, terms: tuple[TransformationPair, ...], *, temperature: float, near: Near = "sample") -> None:
        """Builds the loss of a table.

        Args:
            terms: Comparisons.
            temperature: Temperature t > 0.
            near: Keys that are near. ``sample``: those of the query's own sample, so that the loss does not depend on
                the number of processes; ``process``: those of all samples of the query's process, as released.
        """
        super().__init__()
        check_choice("near", near, NEAR)
        self.temperature, self.of_process = temperature, near == "process"
        self.register_buffer("query", torch.tensor([term.query for term in terms]), persistent=False)
        self.register_buffer("positive", torch.tensor([term.positive for term in terms]), persistent=False)
        self.register_buffer("near", _log_counts([term.near for term in terms]), persistent=False)
        self.register_buffer("far", _log_counts([term.far for term in terms]), persistent=False)
        weights = torch.tensor([term.weight for term in terms])
        self.register_buffer("weights", weights / weights.sum(), persistent=False)

    def forward(
        self,
        local: tuple[Tensor, Tensor],
        gathered: tuple[Tensor, Tensor],
        valid: Tensor,
        valid_everywhere: Tensor,
        *,
        rank_offset: int,
    ) -> Tensor:
        """Returns the loss of a step; its mean over processes is that of one process on the whole batch.

        Args:
            local: Video and audio rows of this process, unit length, (V, B, D) each.
            gathered: Rows of all processes, detached, (V, N, D) each.
            valid: Samples to compare, bool (B,); others are neither queries nor keys.
            valid_everywhere: The same for all processes, bool (N,).
            rank_offset: Index of this process's first row among the gathered ones.
        """
        with full_precision(valid.device):
            # Queries of either modality against the keys of the other: (2, V, B, V, N).
            queries, keys = torch.stack(local), torch.stack((gathered[1], gathered[0]))
            logits = torch.einsum("mvbd,mwnd->mvbwn", queries, keys) / self.temperature
            own, near, far = self._split(logits, valid_everywhere, rank_offset)
            among = torch.stack(
                (near[:, self.query] + self.near[:, None], far[:, self.query] + self.far[:, None]), dim=-1
            )
            rows = among.flatten(-2).logsumexp(dim=-1) - own[:, self.query, :, self.positive].transpose(0, 1)
            weights = self.weights.to(rows.dtype).unsqueeze(1) * len(self.weights)  # the mean over terms divides again
            return masked_mean(rows * weights, valid, valid_everywhere)

    def _split(self, logits: Tensor, valid_everywhere: Tensor, rank_offset: int) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the logit of the own sample and the log-sum-exp of near and of far keys, (2, V, B, V) each."""
        batch, keys = logits.shape[2], logits.shape[4]
        position = torch.arange(keys, device=logits.device) - rank_offset
        rows = torch.arange(batch, device=logits.device)
        is_own = position == rows[:, None]  # (B, N)
        is_near = ((position >= 0) & (position < batch)).expand(batch, keys) if self.of_process else is_own
        logits = logits.masked_fill(~valid_everywhere, MASKED)
        own = logits.diagonal(offset=rank_offset, dim1=2, dim2=4).transpose(2, 3)
        near = logits.masked_fill(~is_near[:, None], MASKED).logsumexp(dim=-1)
        far = logits.masked_fill(is_near[:, None], MASKED).logsumexp(dim=-1)
        return own, near, far


def _log_counts(counts: list[tuple[int, ...]]) -> Tensor:
    """Maps counts (P, V) to their logarithms, with a finite value for that of 0."""
    table = torch.tensor(counts, dtype=torch.float32)
    return torch.where(table > 0, table.clamp(min=1).log(), torch.tensor(MASKED))
