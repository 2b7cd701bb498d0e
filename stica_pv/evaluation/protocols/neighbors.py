"""Nearest neighbors of queries in a gallery, in chunks that fit into memory, and votes of their classes."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.errors import check_choice

RECALLS = (1, 5, 10, 20, 50)
METRICS = ("cosine", "euclidean")
VOTES = ("weighted", "plain")
KNN_TEMPERATURE = 0.07
CHUNK_ELEMENTS = 2**25  # similarities in memory at a time


def similarity_chunks(gallery: Tensor, queries: Tensor, *, metric: str) -> Iterator[Tensor]:
    """Yield similarities (q, V) of a few queries at a time; larger is nearer.

    Args:
        gallery: (V, D).
        queries: (Q, D).
        metric: ``cosine``, or ``euclidean``: minus half the squared distance, up to a constant for each query.
    """
    check_choice("metric", metric, METRICS)
    if metric == "cosine":
        gallery, queries = F.normalize(gallery, dim=1), F.normalize(queries, dim=1)
        offsets = torch.zeros(len(gallery))
    else:
        offsets = gallery.square().sum(dim=1) / 2
    for part in queries.split(max(1, CHUNK_ELEMENTS // max(1, len(gallery)))):
        yield part @ gallery.mT - offsets


def nearest(gallery: Tensor, queries: Tensor, *, k: int, metric: str) -> tuple[Tensor, Tensor]:
    """Return similarities and indices (Q, k) of the k nearest rows of the gallery, or all if there are fewer."""
    found = [part.topk(min(k, len(gallery)), dim=1) for part in similarity_chunks(gallery, queries, metric=metric)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def recall_hits(relevant: Tensor, ks: Sequence[int]) -> dict[int, Tensor]:
    """Return whether one of the first k retrieved items is relevant: bool (Q,) for each k.

    Args:
        relevant: bool (Q, K), relevance of retrieved items, the nearest first; with fewer than k, all count.
        ks: Numbers of retrieved items.
    """
    return {k: relevant[:, :k].any(dim=1) for k in ks}


def average_precisions(
    gallery: Tensor, gallery_labels: Tensor, queries: Tensor, query_labels: Tensor, *, metric: str
) -> Tensor:
    """Return the average precision of each query over the whole gallery; items of its class are relevant.

    Returns:
        float64 (Q,), 0 to 1; 0 where the class is not in the gallery.
    """
    found = []
    start = 0
    for similarity in similarity_chunks(gallery, queries, metric=metric):
        wanted = query_labels[start : start + len(similarity), None]
        relevant = (gallery_labels[similarity.argsort(dim=1, descending=True)] == wanted).double()
        precision = relevant.cumsum(dim=1) / torch.arange(1, len(gallery) + 1)
        found.append((relevant * precision).sum(dim=1) / relevant.sum(dim=1).clamp(min=1))
        start += len(similarity)
    return torch.cat(found)


def class_votes(similarity: Tensor, labels: Tensor, *, classes: int, votes: str) -> Tensor:
    """Return the votes of the neighbors: (Q, classes).

    Args:
        similarity: Cosines (Q, k).
        labels: Classes of the neighbors, int64 (Q, k).
        classes: Number of classes.
        votes: ``weighted`` by exp(cosine / 0.07) (Wu et al., CVPR 2018), or ``plain``: one each.
    """
    check_choice("TEST.KNN_VOTES", votes, VOTES)
    weights = (similarity.double() / KNN_TEMPERATURE).exp() if votes == "weighted" else torch.ones_like(similarity)
    return torch.zeros(len(labels), classes, dtype=weights.dtype).scatter_add_(1, labels, weights)
