"""Feature sets with a known answer: one direction for each class, siblings in groups."""

import torch
from torch import Tensor

from stica_pv.evaluation.feature_set import FeatureSet

CLASSES, DIM = 8, 16


def planted(
    count: int, seed: int, *, spread: float = 0.1, views: int = 1, classes: int = CLASSES, siblings: int = 4
) -> FeatureSet:
    """Returns `count` items (V, N, D) around the direction of their class; `siblings` of one class share a group."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) // siblings % classes
    rows = torch.eye(classes, DIM)[labels].unsqueeze(1) + spread * torch.randn(count, views, DIM, generator=rng)
    return FeatureSet(rows, labels, torch.arange(count) // siblings)


def mixed_labels(items: FeatureSet, seed: int = 9) -> FeatureSet:
    """Returns the same items with labels that mean nothing."""
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))
    return FeatureSet(items.features, items.labels[order], items.groups)


def several(items: FeatureSet) -> FeatureSet:
    """Returns the items with bool labels: their class, and class 0 for every third."""
    labels = torch.nn.functional.one_hot(items.labels, CLASSES).bool()
    labels[::3, 0] = True
    return FeatureSet(items.features, labels, items.groups)


def ones(items: int) -> Tensor:
    """Weights of one draw in which every item counts once."""
    return torch.ones(1, items, dtype=torch.float64)
