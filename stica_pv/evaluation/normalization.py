"""Normalization of features before a protocol, by statistics of the training rows only."""

from dataclasses import replace

import torch

from stica_pv.errors import check_choice
from stica_pv.evaluation.feature_set import FeatureSet

FEATURE_NORMS = ("raw", "centered", "standardized")
LEAST_DEVIATION = 1e-6


def process(train: FeatureSet, test: FeatureSet, how: str) -> tuple[FeatureSet, FeatureSet]:
    """Return training and test features, normalized by the statistics of the training rows.

    Args:
        train: (V, N, D).
        test: (V', N', D).
        how: ``raw``: unchanged; ``centered``: minus the mean; ``standardized``: also divided by the deviation.
    """
    check_choice("TEST.FEATURE_NORM", how, FEATURE_NORMS)
    if how == "raw":
        return train, test
    rows = train.features.flatten(0, 1)
    mean = rows.mean(dim=0)
    scale = rows.std(dim=0).clamp(min=LEAST_DEVIATION) if how == "standardized" and len(rows) > 1 else torch.ones(1)
    first, second = (replace(part, features=(part.features - mean) / scale) for part in (train, test))
    return first, second
