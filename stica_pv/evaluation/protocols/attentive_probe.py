"""A transformer with one learned query on the tokens of a frozen network, as V-JEPA 2 probes its encoders."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stica_pv.keyed_random import generator
from stica_pv.progress import Progress

INIT_STD = 0.02
MLP_RATIO = 4


@dataclass(frozen=True)
class ProbeRecipe:
    """Architecture and training of a probe; the defaults are those of V-JEPA 2 (arXiv 2506.09985).

    Attributes:
        depth: Blocks: ``depth - 1`` of self-attention over the tokens, then one of cross-attention by the query.
        heads: Attention heads; must divide the width of the tokens.
        epochs: Number of epochs.
        batch_size: Items per step; a smaller set is one batch.
    """

    depth: int = 4
    heads: int = 16
    epochs: int = 20
    batch_size: int = 256


class Attention(nn.Module):
    """Multi-head attention of queries to tokens, with biases."""

    def __init__(self, dim: int, heads: int) -> None:
        """Makes the projections; `heads` divides `dim`."""
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Maps queries (B, Q, D) and tokens (B, K, D) to (B, Q, D)."""
        q = self.q(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = self.kv(tokens).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm block: tokens attend to each other, or a query attends to tokens; then an MLP."""

    def __init__(self, dim: int, heads: int) -> None:
        """Makes the layers."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.expand, self.contract = nn.Linear(dim, MLP_RATIO * dim), nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, tokens: Tensor, query: Tensor | None = None) -> Tensor:
        """Maps tokens (B, K, D) to (B, K, D), or with a query (B, Q, D) to (B, Q, D)."""
        normed = self.norm1(tokens)
        x = tokens if query is None else query
        x = x + self.attention(normed if query is None else query, normed)
        return x + self.contract(F.gelu(self.expand(self.norm2(x))))


class AttentiveProbe(nn.Module):
    """Classifier of token sets; no position embedding is added to the tokens."""

    def __init__(self, widths: Sequence[int], classes: int, *, depth: int, heads: int, rng: torch.Generator) -> None:
        """Initializes as V-JEPA 2: truncated normal weights, output projections of block n scaled by 1 / sqrt(2 n).

        Args:
            widths: Width of the tokens of each modality; those of another width than the first are projected to it.
            classes: Number of classes.
            depth: Number of blocks, at least 1.
            heads: Attention heads.
            rng: Generator of the weights.
        """
        super().__init__()
        dim = widths[0]
        self.projections = nn.ModuleList(nn.Identity() if width == dim else nn.Linear(width, dim) for width in widths)
        # With one modality an embedding of it would be a constant.
        self.modalities = nn.Parameter(torch.zeros(len(widths), dim)) if len(widths) > 1 else None
        self.query = nn.Parameter(torch.zeros(1, 1, dim))
        blocks = [Block(dim, heads) for _ in range(depth)]
        self.blocks = nn.ModuleList(blocks)
        self.classifier = nn.Linear(dim, classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INIT_STD, generator=rng)
                nn.init.zeros_(module.bias)
        for vectors in (self.query, self.modalities):
            if vectors is not None:
                nn.init.trunc_normal_(vectors, std=INIT_STD, generator=rng)
        with torch.no_grad():
            for number, block in enumerate(blocks, start=1):
                for layer in (block.attention.out, block.contract):
                    layer.weight /= math.sqrt(2 * number)

    def forward(self, tokens: Sequence[Tensor]) -> Tensor:
        """Maps the tokens of each modality, (B, K, C), to logits (B, classes)."""
        parts = [projection(part) for projection, part in zip(self.projections, tokens, strict=True)]
        if self.modalities is not None:
            parts = [part + embedding for part, embedding in zip(parts, self.modalities, strict=True)]
        x = torch.cat(parts, dim=1)
        *within, across = self.blocks
        for block in within:
            x = block(x)
        return self.classifier(across(x, self.query.expand(len(x), -1, -1))[:, 0])


@torch.enable_grad()
def fit_probes(
    tokens: Sequence[Tensor],
    labels: Tensor,
    *,
    classes: int,
    recipe: ProbeRecipe,
    grid: Sequence[tuple[float, float]],
    seed: int,
    device: torch.device,
) -> list[AttentiveProbe]:
    """Trains one probe for each pair of the grid, all on the same batches, from the same weights, by AdamW.

    The learning rate follows a cosine to 0 without warm-up; weight decay applies to matrices only.

    Args:
        tokens: Tokens of each modality, float32 (V, K, C).
        labels: int64 (V,).
        classes: Number of classes.
        recipe: Architecture and training.
        grid: Learning rate and weight decay of each probe.
        seed: Seed of the weights and of the order of the items.
        device: Device of the training.
    """
    widths = [part.shape[-1] for part in tokens]
    probes, groups = [], []
    for lr, decay in grid:
        rng = generator("attentive probe", seed)
        probe = AttentiveProbe(widths, classes, depth=recipe.depth, heads=recipe.heads, rng=rng).to(device)
        matrices = [p for p in probe.parameters() if p.ndim > 1]
        groups.append({"params": matrices, "lr": lr, "weight_decay": decay})
        groups.append({"params": [p for p in probe.parameters() if p.ndim == 1], "lr": lr, "weight_decay": 0.0})
        probes.append(probe)
    optimizer = torch.optim.AdamW(groups)
    batch = min(recipe.batch_size, len(labels))
    steps = recipe.epochs * (len(labels) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=max(1, steps))
    with Progress(f"{len(grid)} attentive probes", recipe.epochs, unit="epochs") as progress:
        for epoch in range(recipe.epochs):
            order = torch.randperm(len(labels), generator=generator("attentive order", seed, epoch))
            for rows in order.split(batch)[: len(labels) // batch]:
                given, wanted = [part[rows].to(device) for part in tokens], labels[rows].to(device)
                optimizer.zero_grad()
                for probe in probes:
                    F.cross_entropy(probe(given), wanted).backward()
                optimizer.step()
                schedule.step()
            progress.add()
    return [probe.eval() for probe in probes]


@torch.no_grad()
def probabilities(probe: AttentiveProbe, crops: Sequence[Sequence[Tensor]], *, device: torch.device) -> Tensor:
    """Returns the mean over spatial crops of softmax probabilities, float32 (V, classes).

    Args:
        probe: The probe.
        crops: For each crop the tokens of each modality, (V, K, C).
        device: Device of the probe.
    """
    found = []
    for tokens in crops:
        parts = zip(*(part.split(256) for part in tokens), strict=True)
        found.append(torch.cat([probe([one.to(device) for one in part]).softmax(dim=-1).cpu() for part in parts]))
    return torch.stack(found).mean(dim=0)
