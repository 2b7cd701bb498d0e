"""Nearest neighbours: retrieval and kNN classification, and how features are processed before."""

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from stica_pv.errors import UsageError, check_choice
from stica_pv.evaluation.features import FeatureSet

PROCESSINGS = ("raw", "centred", "standardised")
RECALLS = (1, 5, 10, 20, 50)
KNN_TEMPERATURE = 0.07


def process(gallery: FeatureSet, queries: FeatureSet, how: str) -> tuple[Tensor, Tensor]:
    """Returns unit rows (V, D) of gallery and queries, both moved by the statistics of the gallery alone.

    Args:
        gallery: Training videos.
        queries: Test videos.
        how: ``raw``; ``centred``: minus the mean; ``standardised``: also divided by the standard deviation.
    """
    check_choice("TEST.PROCESSING", how, PROCESSINGS)
    mean = torch.zeros(1) if how == "raw" else gallery.features.mean(dim=0)
    scale = gallery.features.std(dim=0).clamp(min=1e-6) if how == "standardised" else torch.ones(1)
    first, second = (F.normalize((part.features - mean) / scale, dim=-1) for part in (gallery, queries))
    return first, second


def recall_at(gallery: Tensor, gallery_labels: Tensor, queries: Tensor, query_labels: Tensor) -> dict[str, float]:
    """Share in % of queries with a video of their class among the k nearest by cosine, k in `RECALLS`.

    Args:
        gallery: Unit rows (V, D).
        gallery_labels: (V,).
        queries: Unit rows (Q, D).
        query_labels: (Q,).
    """
    nearest = (queries @ gallery.mT).topk(min(max(RECALLS), len(gallery)), dim=1).indices
    hits = gallery_labels[nearest] == query_labels.unsqueeze(1)
    return {f"R@{k}": 100 * float(hits[:, :k].any(dim=1).float().mean()) for k in RECALLS}


def knn_accuracy(
    gallery: Tensor, gallery_labels: Tensor, queries: Tensor, query_labels: Tensor, *, k: int
) -> dict[str, float]:
    """Accuracy in % of a vote of the k nearest, weighted by exp(cosine / 0.07) (Wu et al., CVPR 2018)."""
    if k < 1:
        raise UsageError(f"TEST.KNN_K must be >= 1, got {k}")
    similarity, nearest = (queries @ gallery.mT).topk(min(k, len(gallery)), dim=1)
    classes = int(max(gallery_labels.max(), query_labels.max())) + 1
    votes = torch.zeros(len(queries), classes).scatter_add_(
        1, gallery_labels[nearest], (similarity / KNN_TEMPERATURE).exp()
    )
    return {"top1": 100 * float((votes.argmax(dim=1) == query_labels).float().mean())}


def ridge_accuracy(
    gallery: Tensor, gallery_labels: Tensor, queries: Tensor, query_labels: Tensor, *, strength: float
) -> float:
    """Accuracy in % of a linear classifier in closed form: ridge regression onto one-hot classes."""
    classes = int(max(gallery_labels.max(), query_labels.max())) + 1
    x, y = gallery.double(), F.one_hot(gallery_labels, classes).double()
    mean = x.mean(dim=0)
    centred = x - mean
    gram = centred.mT @ centred
    scale = gram.diagonal().mean().clamp(min=1e-12)  # equal rows tell nothing; the classifier then is a constant
    gram += strength * scale * torch.eye(len(gram), dtype=gram.dtype)
    weights = torch.linalg.solve(gram, centred.mT @ (y - y.mean(dim=0)))
    scores = (queries.double() - mean) @ weights + y.mean(dim=0)
    return 100 * float((scores.argmax(dim=1) == query_labels).float().mean())
