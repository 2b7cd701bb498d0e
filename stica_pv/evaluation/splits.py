"""Hold-out splits of training items, to choose a learning rate or a C; sources are never split."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.ranking import top_k_hits
from stica_pv.keyed_random import generator
from stica_pv.progress import Progress

logger = logging.getLogger(__name__)


def describe_choice(values: Sequence[float], share: float) -> str:
    """Describe the candidates: ``0.1``, or ``one of 0.1, 1 by 20 % hold-out``."""
    text = ", ".join(f"{value:g}" for value in values)
    return text if len(values) == 1 else f"one of {text} by {100 * share:g} % hold-out"


def choose_on_holdout(
    values: Sequence[float],
    train: FeatureSet,
    scores: Callable[[float, FeatureSet, FeatureSet], Tensor],
    *,
    share: float,
    seed: int,
    what: str,
) -> float:
    """Return the value that is best on held-out groups of the training items, the smallest of equals.

    Args:
        values: Candidates; a single one is returned without a hold-out.
        train: Training items, one label each.
        scores: Function that fits the first items with a value and returns scores (V, classes) of the second ones.
        share: Share of each class to hold out.
        seed: Seed of the hold-out.
        what: Name of the value, for the log.
    """
    if len(values) == 1:
        return values[0]
    inner, held = grouped_holdout(train.labels, train.groups, share=share, seed=seed)
    fitted, chosen_by = train.rows(inner), train.rows(held)
    found = {}
    with Progress(what, len(values), unit="fits") as progress:
        for value in sorted(values):
            hits = top_k_hits(scores(value, fitted, chosen_by), chosen_by.labels, 1)
            found[value] = float(hits.double().mean())
            progress.add()
    best = max(found, key=found.__getitem__)
    results = ", ".join(f"{value:g}: {100 * accuracy:.1f}" for value, accuracy in found.items())
    logger.info("%s %g of %s (%% correct of %d held-out training items)", what, best, results, len(held))
    return best


def can_hold_out(labels: Tensor, groups: Tensor) -> bool:
    """Return whether `grouped_holdout` can hold anything out: a source whose classes all have items elsewhere."""
    pairs = torch.stack([groups.unique(return_inverse=True)[1], labels], dim=1).unique(dim=0)
    shared = pairs[:, 1].bincount() > 1
    wanting = torch.zeros(int(pairs[:, 0].max()) + 1, dtype=torch.bool)
    wanting[pairs[~shared[pairs[:, 1]], 0]] = True
    return bool((~wanting).any())


def grouped_holdout(labels: Tensor, groups: Tensor, *, share: float = 0.2, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Split training items into those to fit and those to choose by; whole groups are held out.

    Groups are held out in random order until about `share` of each class is reached. A group with the last items of a
    class stays in the fit. The result depends on the group numbers, not on the order of the items.

    Args:
        labels: int64 (V,).
        groups: int64 (V,), source of each item.
        share: Share of each class to hold out, between 0 and 1.
        seed: Seed of the order.

    Returns:
        Indices to fit and indices to choose by: int64, ascending, disjoint, together all V.

    Raises:
        UsageError: Nothing can be held out, since every class has a single source.
    """
    names, members = groups.unique(return_inverse=True)
    classes: list[Counter[int]] = [Counter() for _ in names]
    for group, label in zip(members.tolist(), labels.tolist(), strict=True):
        classes[group][label] += 1
    left = Counter(labels.tolist())
    wanted = {label: share * count for label, count in left.items()}
    held: Counter[int] = Counter()
    out = torch.zeros(len(names), dtype=torch.bool)
    for group in torch.randperm(len(names), generator=generator("grouped holdout", seed)).tolist():
        counts = classes[group]
        if all(left[c] > n for c, n in counts.items()) and any(held[c] < wanted[c] for c in counts):
            out[group] = True
            held.update(counts)
            left.subtract(counts)
    if not out.any():
        raise UsageError(
            f"nothing can be held out of {len(labels)} training items of {len(names)} sources without losing a class: "
            "give one value instead of several, or a DATA.GROUP_PATTERN that distinguishes more sources"
        )
    mask = out[members]
    return (~mask).nonzero()[:, 0], mask.nonzero()[:, 0]
