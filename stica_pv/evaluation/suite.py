"""Runs evaluations: features of every encoder in one pass over the files, then each protocol on them.

Random initialisation is always there, at its best over feature processing and batch-norm statistics, and so are two
trivial probes that see one frame only: a score means little without them.
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stica_pv.data.dataset import ClipDataset
from stica_pv.evaluation.features import FeatureSet, Prepare, as_is, extract, reestimate_batch_norm
from stica_pv.evaluation.neighbours import PROCESSINGS, knn_accuracy, process, recall_at, ridge_accuracy
from stica_pv.registry import EVALUATIONS

logger = logging.getLogger(__name__)

TRAINED, STILL, PIXELS = "trained", "trained on a still frame", "pixels of one frame"
RANDOM = ("random_init as it is", "random_init re-estimated")
REESTIMATE_VIDEOS = 256
RIDGE_STRENGTHS = (1e-3, 1e-1, 10.0)

Results = dict[str, float]
Score = Callable[[Tensor, Tensor, Tensor, Tensor], dict[str, float]]


class MiddleFrame(nn.Module):
    """The middle frame as 16 × 16 colours: what a single picture gives away without any network."""

    def forward(self, video: Tensor) -> Tensor:
        """Maps (B, 3, T, H, W) to (B, 768)."""
        frame = video[:, :, video.shape[2] // 2].float()
        return nn.functional.adaptive_avg_pool2d(frame, 16).flatten(1)


class StillFrame(nn.Module):
    """An encoder that sees the middle frame repeated: its features without motion."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, video: Tensor) -> Tensor:
        """Maps (B, 3, T, H, W) to (B, D)."""
        middle = video.shape[2] // 2
        return self.encoder(video[:, :, middle : middle + 1].expand_as(video).contiguous())


@dataclass(frozen=True)
class Comparison:
    """Features of the training videos (gallery) and the test videos (queries), by encoder.

    Attributes:
        gallery: Training videos.
        queries: Test videos.
        processing: Declared processing of trained features.
        knn_k: Neighbours that vote.
    """

    gallery: dict[str, FeatureSet]
    queries: dict[str, FeatureSet]
    processing: str
    knn_k: int

    def score(self, name: str, how: str, score: Score) -> dict[str, float]:
        """Scores one encoder under one processing."""
        gallery, queries = process(self.gallery[name], self.queries[name], how)
        return score(gallery, self.gallery[name].labels, queries, self.queries[name].labels)

    def beside_random(self, protocol: str, score: Score) -> Results:
        """Scores the trained encoder, and random initialisation at its best for each number by itself."""
        best: dict[str, float] = {}
        for name in RANDOM:
            for how in PROCESSINGS:
                for key, value in self.score(name, how, score).items():
                    best[key] = max(best.get(key, 0.0), value)
        results = {f"{protocol}/{key}/random_init": value for key, value in best.items()}
        if TRAINED in self.gallery:
            trained = self.score(TRAINED, self.processing, score)
            results |= {f"{protocol}/{key}": value for key, value in trained.items()}
        return results


@EVALUATIONS.named("retrieval")
def retrieval(comparison: Comparison) -> Results:
    """R@k of test videos among training videos, by cosine of pooled features."""
    return comparison.beside_random("retrieval", recall_at)


@EVALUATIONS.named("knn")
def knn(comparison: Comparison) -> Results:
    """Accuracy of a weighted vote of the nearest training videos."""

    def score(gallery: Tensor, gallery_labels: Tensor, queries: Tensor, query_labels: Tensor) -> dict[str, float]:
        return knn_accuracy(gallery, gallery_labels, queries, query_labels, k=comparison.knn_k)

    return comparison.beside_random("knn", score)


@EVALUATIONS.named("single_frame")
def single_frame(comparison: Comparison) -> Results:
    """What one frame gives away: the best of linear probes on its pixels, and retrieval by the trained encoder."""

    def probe(gallery: Tensor, gallery_labels: Tensor, queries: Tensor, query_labels: Tensor) -> dict[str, float]:
        arguments = gallery, gallery_labels, queries, query_labels
        return {"top1": max(ridge_accuracy(*arguments, strength=strength) for strength in RIDGE_STRENGTHS)}

    results = {"single_frame/linear/top1": comparison.score(PIXELS, "standardised", probe)["top1"]}
    if STILL in comparison.gallery:
        results["single_frame/encoder/R@1"] = comparison.score(STILL, comparison.processing, recall_at)["R@1"]
    return results


def compare(
    trained: nn.Module | None,
    random_init: nn.Module,
    gallery: ClipDataset,
    queries: ClipDataset,
    *,
    device: torch.device,
    batch_size: int,
    num_workers: int,
    processing: str,
    knn_k: int,
    prepare: Prepare = as_is,
    start_method: str = "fork",
) -> Comparison:
    """Extracts the features that the evaluations compare.

    Args:
        trained: Encoder from clips to (B, D); None when there is only random initialisation.
        random_init: The same encoder before training.
        gallery: Labelled training videos.
        queries: Labelled test videos.
        device: Where to run.
        batch_size: Videos at a time.
        num_workers: Processes that read.
        processing: Of trained features.
        knn_k: Neighbours that vote.
        prepare: Applied to the frames before any encoder.
        start_method: Of the processes that read.
    """
    reestimated = copy.deepcopy(random_init).to(device)
    reestimate_batch_norm(
        reestimated,
        gallery,
        device=device,
        batch_size=batch_size,
        num_workers=num_workers,
        videos=REESTIMATE_VIDEOS,
        prepare=prepare,
        start_method=start_method,
    )
    encoders: dict[str, nn.Module] = {
        RANDOM[0]: random_init.to(device),
        RANDOM[1]: reestimated,
        PIXELS: MiddleFrame(),
    }
    if trained is not None:
        encoders |= {TRAINED: trained.to(device), STILL: StillFrame(trained)}
    parts = [
        extract(
            encoders,
            part,
            device=device,
            batch_size=batch_size,
            num_workers=num_workers,
            prepare=prepare,
            start_method=start_method,
        )
        for part in (gallery, queries)
    ]
    return Comparison(parts[0], parts[1], processing, knn_k)


def evaluate(names: list[str], comparison: Comparison) -> Results:
    """Runs the named evaluations and adds chance."""
    protocols = [EVALUATIONS.get(name) for name in names]
    labels = next(iter(comparison.gallery.values())).labels
    results: Results = {"chance/top1": 100 / len(labels.unique())}
    for protocol in protocols:
        results |= protocol(comparison)
    return results


def table(results: Results) -> str:
    """Returns the results as lines for a person: each score beside random initialisation."""
    scores = {key: value for key, value in results.items() if not key.endswith("/random_init")}
    scores |= {
        key.removesuffix("/random_init"): float("nan")
        for key in results
        if key.endswith("/random_init") and key.removesuffix("/random_init") not in scores
    }
    width = max(len(key) for key in scores)
    lines = [f"{'score in %':<{width}}  {'trained':>8}  {'random init (best)':>18}"]
    for key, value in scores.items():
        random = results.get(f"{key}/random_init")
        shown = "" if value != value else f"{value:8.1f}"
        lines.append(f"{key:<{width}}  {shown:>8}  {'' if random is None else f'{random:18.1f}'}".rstrip())
    return "\n".join(lines)
