"""Scores of synchrony: which moment of its audio a moment of the frames resembles most. Ties count as chance."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.evaluation.metrics import Metric

LATE_MS = 1e-6  # rounding of a multiple of the step


def moment_similarity(video: Tensor, audio: Tensor) -> Tensor:
    """Return the cosine of each moment of the frames with each moment of the audio of an item.

    Args:
        video: (V, n, D).
        audio: (V, n, D).

    Returns:
        float64 (V, n, n).
    """
    if video.shape != audio.shape:
        raise ValueError(f"expected features of equal shape, got {tuple(video.shape)} and {tuple(audio.shape)}")
    return F.normalize(video.double(), dim=2) @ F.normalize(audio.double(), dim=2).mT


def moment_hits(similarity: Tensor) -> Tensor:
    """Return the share of the moments of each item (V,) that are nearest to their own counterpart.

    Args:
        similarity: (V, n, n), queries in rows.
    """
    best = similarity == similarity.amax(dim=2, keepdim=True)
    return (best.diagonal(dim1=1, dim2=2).double() / best.sum(dim=2)).mean(dim=1)


def shift_scores(similarity: Tensor, max_shift: int) -> Tensor:
    """Return the mean similarity at each shift of the audio from -max_shift to max_shift: (V, 2 max_shift + 1).

    Each shift is judged on the same moments of the frames, those with audio at every shift.

    Args:
        similarity: (V, n, n) with n > 2 max_shift, moments of the frames in rows.
        max_shift: Largest shift in steps.
    """
    moments = similarity.shape[1]
    if moments <= 2 * max_shift:
        raise ValueError(f"shifts up to {max_shift} need {2 * max_shift + 1} moments, got {moments}")
    reference = torch.arange(max_shift, moments - max_shift)
    shifts = range(-max_shift, max_shift + 1)
    return torch.stack([similarity[:, reference, reference + shift].mean(dim=1) for shift in shifts], dim=1)


def shift_sizes_ms(max_shift: int, step_seconds: float) -> Tensor:
    """Return the size of each shift from -max_shift to max_shift in ms, float64."""
    return 1000 * step_seconds * torch.arange(-max_shift, max_shift + 1).abs().double()


def offset_errors_ms(scores: Tensor, step_seconds: float) -> Tensor:
    """Return the size of the best shift of each item in ms (V,), the mean over equally good ones.

    Args:
        scores: (V, 2 max_shift + 1), see `shift_scores`.
        step_seconds: Distance of the moments.
    """
    return _mean_of_best(scores, shift_sizes_ms(scores.shape[1] // 2, step_seconds))


def offset_hits(scores: Tensor, step_seconds: float, tolerance_ms: float) -> Tensor:
    """Return whether the best shift of each item is within a tolerance (V,), the share of equally good ones.

    Args:
        scores: (V, 2 max_shift + 1), see `shift_scores`.
        step_seconds: Distance of the moments.
        tolerance_ms: Tolerance.
    """
    sizes = shift_sizes_ms(scores.shape[1] // 2, step_seconds)
    return _mean_of_best(scores, (sizes <= tolerance_ms + LATE_MS).double())


def median_metric(name: str, per_item: Tensor, *, paired_with: str) -> Metric:
    """Return the median over test items of `per_item` (V,); the smaller one of two in the middle."""
    values, order = per_item.double().sort()

    def statistic(weights: Tensor) -> Tensor:
        counts = weights[:, order].cumsum(dim=1)
        middle = torch.searchsorted(counts, counts[:, -1:].contiguous() / 2)
        return values[middle[:, 0]]

    return Metric(name, statistic, len(values), paired_with)


def other_sources(groups: Tensor) -> Tensor:
    """Return for each item (V,) another item, each once; of another source where no source has more than half of them.

    Args:
        groups: int64 (V,), source of each item; at least two items.
    """
    order = groups.argsort(stable=True)
    largest = int(groups.unique(return_counts=True)[1].max())
    partner = torch.empty_like(order)
    partner[order] = order.roll(-min(largest, max(1, len(groups) // 2)))
    return partner


def _mean_of_best(scores: Tensor, values: Tensor) -> Tensor:
    best = (scores == scores.amax(dim=1, keepdim=True)).double()
    return best @ values / best.sum(dim=1)
