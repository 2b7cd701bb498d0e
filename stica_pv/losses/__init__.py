"""Losses on embeddings, independent of networks and data."""

from stica_pv.losses.contrastive import (
    ContrastTerms,
    GroupContrast,
    contrast_accuracy,
    contrast_rows,
    masked_mean,
    normalize,
)
from stica_pv.losses.nt_xent import nt_xent_rows
from stica_pv.losses.regression import regression_rows
from stica_pv.losses.transformation_pairs import TransformationPair, TransformationPairContrast

__all__ = [
    "ContrastTerms",
    "GroupContrast",
    "TransformationPairContrast",
    "TransformationPair",
    "contrast_accuracy",
    "contrast_rows",
    "masked_mean",
    "normalize",
    "nt_xent_rows",
    "regression_rows",
]
