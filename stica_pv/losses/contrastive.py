"""Noise-contrastive estimation between aligned rows: the loss of STiCA and GDT.

L_t(X -> Y) = -1/B Σ_i log [ exp(x_i·y_i / t) / Σ_m exp(x_i·y_m / t) ], x local queries, y keys of all processes
(STiCA, section 3.1; GDT, section 3). Keys carry no gradient here: the caller gathers them detached.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from stica_pv.precision import full_precision

MASKED = -1e9  # finite, so that a row whose keys are all masked has no NaN before it is excluded


@dataclass(frozen=True)
class ContrastTerms:
    """The groups of rows to compare, one entry per directed term.

    Attributes:
        queries: Index of the query group of each term.
        keys: Index of the key group of each term.
        weights: Weight of each term in the mean.
    """

    queries: tuple[int, ...]
    keys: tuple[int, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if not len(self.queries) == len(self.keys) == len(self.weights):
            raise ValueError(f"queries, keys and weights differ in length: {self}")

    def __len__(self) -> int:
        return len(self.queries)


def normalize(x: Tensor) -> Tensor:
    """Returns rows of unit length, computed in fp32 or better whatever the autocast state."""
    with full_precision(x.device):
        return F.normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)


def contrast_rows(
    queries: Tensor, keys: Tensor, *, temperature: float, rank_offset: int, key_valid: Tensor | None = None
) -> Tensor:
    """Returns the loss of each query row against its own key and all others.

    Args:
        queries: Unit rows (…, B, D).
        keys: Unit rows (…, N, D); row ``rank_offset + i`` is the positive of query i.
        temperature: Temperature t > 0.
        rank_offset: Index of this process's first row among the keys.
        key_valid: bool (N,); False keys are excluded from the negatives.

    Returns:
        (…, B).
    """
    with full_precision(queries.device):
        logits = torch.matmul(queries / temperature, keys.mT)  # queries are much smaller than logits
        if key_valid is not None:
            logits = logits.masked_fill(~key_valid, MASKED)
        return _against_own(logits, rank_offset)


def _against_own(logits: Tensor, rank_offset: int) -> Tensor:
    """Returns -log softmax of (…, B, N) at N = rank_offset + i in row i: (…, B)."""
    *leading, batch, keys = logits.shape
    labels = torch.arange(rank_offset, rank_offset + batch, device=logits.device).expand(*leading, batch)
    # Fewer passes over the logits than logsumexp - diagonal, with as much kept for the backward pass.
    return F.cross_entropy(logits.reshape(-1, keys), labels.reshape(-1), reduction="none").view(*leading, batch)


def masked_mean(rows: Tensor, valid: Tensor, valid_everywhere: Tensor) -> Tensor:
    """Returns this process's share of the mean of the valid rows of all processes; averaging over processes gives it.

    It is the local sum × world ÷ global count; 0 (with zero gradient) if no row is valid anywhere.

    Args:
        rows: Values (…, B).
        valid: Rows of this process to count, bool (B,).
        valid_everywhere: The same for all processes, bool (N,), N = world × B.
    """
    processes = valid_everywhere.shape[0] // valid.shape[0]
    kept = torch.where(valid, rows, torch.zeros_like(rows))
    count = valid_everywhere.sum().clamp(min=1)
    return (kept.sum(dim=-1) * processes / count).mean()


class GroupContrast(nn.Module):
    """L_t of every term of a table, with one product per run of neighboring keys that have equally many queries.

    A group of keys has the size of the global batch, a group of queries that of the local one. So the queries of a key
    are concatenated, and keys are neither copied nor read once per term.
    """

    weights: Tensor
    term_order: Tensor

    def __init__(self, terms: ContrastTerms, *, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        of_key: dict[int, list[int]] = {}
        for term in sorted(range(len(terms)), key=lambda term: terms.keys[term]):
            of_key.setdefault(terms.keys[term], []).append(term)
        self.runs: list[slice] = []
        for key, found in of_key.items():
            last = self.runs[-1] if self.runs else slice(0, 0)
            if last.stop == key and len(of_key.get(key - 1, ())) == len(found):
                self.runs[-1] = slice(last.start, key + 1)
            else:
                self.runs.append(slice(key, key + 1))
        for number, run in enumerate(self.runs):
            queries = [[terms.queries[term] for term in of_key[key]] for key in range(run.start, run.stop)]
            # Buffers, so that no index is copied to the device in a step.
            self.register_buffer(f"queries_{number}", torch.tensor(queries), persistent=False)
        order = torch.tensor([term for found in of_key.values() for term in found], dtype=torch.long)
        self.register_buffer("term_order", order.argsort(), persistent=False)
        self.register_buffer("weights", torch.tensor(terms.weights), persistent=False)

    def forward(self, queries: Tensor, keys: Tensor, *, rank_offset: int) -> Tensor:
        """Returns the loss of each term.

        Args:
            queries: Unit rows (G, B, D).
            keys: Unit rows (H, N, D), detached.
            rank_offset: Index of this process's first row among the keys.

        Returns:
            (P,), one value per term, not weighted.
        """
        with full_precision(queries.device):
            scaled, losses = queries / self.temperature, []
            for number, run in enumerate(self.runs):
                selected = scaled[self.get_buffer(f"queries_{number}")]  # (keys of the run, queries of each, B, D)
                logits = torch.matmul(selected.flatten(1, 2), keys[run].mT).unflatten(1, selected.shape[1:3])
                losses.append(_against_own(logits, rank_offset).mean(dim=-1).flatten())
            return torch.cat(losses)[self.term_order] if losses else queries.new_zeros(0)

    def mean(self, losses: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Returns the weighted mean of the losses of all terms, or of the `chosen` ones, bool (P,); 0 for none."""
        weights = self.weights.to(losses.dtype) if chosen is None else self.weights.to(losses.dtype) * chosen
        return (weights * losses).sum() / weights.sum().clamp(min=torch.finfo(losses.dtype).tiny)


@torch.no_grad()
def contrast_accuracy(
    queries: Tensor, keys: Tensor, valid: Tensor, valid_everywhere: Tensor, *, rank_offset: int
) -> Tensor:
    """Returns the share of valid queries (…, B, D) whose own key is the nearest of the valid keys (…, N, D).

    All rows have unit length, so that the largest inner product is the nearest key.
    """
    with full_precision(queries.device):  # fp16 cannot represent MASKED
        similarity = torch.matmul(queries, keys.mT).masked_fill(~valid_everywhere, MASKED)
    labels = torch.arange(queries.shape[-2], device=queries.device) + rank_offset
    return masked_mean((similarity.argmax(dim=-1) == labels).to(queries.dtype), valid, valid_everywhere)
