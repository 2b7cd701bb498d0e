"""Losses on embeddings; they know nothing of networks or data."""

from stica_pv.losses.contrastive import (
    ContrastTerms,
    GroupContrast,
    contrast_accuracy,
    contrast_rows,
    masked_mean,
    normalise,
)

__all__ = ["ContrastTerms", "GroupContrast", "contrast_accuracy", "contrast_rows", "masked_mean", "normalise"]
