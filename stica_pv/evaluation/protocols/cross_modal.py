"""Retrieval between audio and video of held-out items: a direct test of the pre-training objective."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric, mean_metric
from stica_pv.evaluation.protocols.neighbors import recall_hits, similarity_chunks
from stica_pv.evaluation.protocols.retrieval import averaged_rows
from stica_pv.evaluation.requests import MODALITIES, FeatureRequest, Layer, Modality, Requests, TestTransform

CROSS_RECALLS = (1, 5, 10, 50)
DIRECTIONS = (("video", "audio"), ("audio", "video"))


@dataclass(frozen=True)
class CrossModal:
    """R@k of test items in one modality among the same items in the other.

    Attributes:
        clips: Windows of an item in each modality, averaged.
        spatial_crops: Crops of a clip.
        transform: Transform of the frames.
        layer: ``projected``, or another layer with equal sizes in both modalities.
    """

    clips: int
    spatial_crops: int
    transform: TestTransform
    layer: Layer = "projected"
    processed: bool = True

    @property
    def name(self) -> str:
        """Exact name of the protocol."""
        crops = f" x {self.spatial_crops}" if self.spatial_crops > 1 else ""
        return f"cross_modal ({self.layer}, {self.clips}{crops} {self.transform} views, L2 -> mean -> L2, cosine)"

    def train_requests(self) -> Requests:
        """Return the requests for the statistics of the normalization."""
        return self.test_requests()

    def test_requests(self) -> Requests:
        """Return the requests of both modalities."""
        return {modality: self._request(modality) for modality in MODALITIES}

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        """Return ``video_to_audio/R@1`` … in both directions, with ``video_to_audio/chance R@1`` ….

        ``R@k``: the item itself is among the k found. ``R@k by group``: an item of its source is. ``R@k same class``:
        an item that shares a class with it is, with all items of its own source excluded from the gallery.
        """
        metrics = []
        for query, gallery in DIRECTIONS:
            for name, per_item in cross_hits(test[query], test[gallery], CROSS_RECALLS).items():
                metrics.append(mean_metric(f"{query}_to_{gallery}/{name}", 100 * per_item))
        return metrics

    def _request(self, modality: Modality) -> FeatureRequest:
        return FeatureRequest(
            modality=modality,
            layer=self.layer,
            clips=self.clips,
            spatial_crops=self.spatial_crops,
            transform=self.transform,
            average=True,
        )


def cross_hits(queries: FeatureSet, gallery: FeatureSet, ks: tuple[int, ...]) -> dict[str, Tensor]:
    """Return for each kind of hit and each k the hits (V,) and, as ``chance …``, those of a random order.

    Args:
        queries: One modality of V items.
        gallery: The other modality of the same items in the same order.
        ks: Numbers of retrieved items; those of V and more are skipped, as they always hit.

    Raises:
        ValueError: The sizes of the features differ.
    """
    rows, wanted = averaged_rows(gallery), averaged_rows(queries)
    if rows.shape != wanted.shape:
        raise ValueError(f"expected features of equal shape, got {tuple(wanted.shape)} and {tuple(rows.shape)}")
    ks = tuple(k for k in ks if k < len(rows))
    found: dict[str, list[Tensor]] = {}
    start = 0
    for similarity in similarity_chunks(rows, wanted, metric="cosine"):
        part = queries.rows(torch.arange(start, start + len(similarity)))
        own = torch.arange(start, start + len(similarity)).unsqueeze(1) == torch.arange(len(rows))
        same_source = part.groups.unsqueeze(1) == gallery.groups
        same_class = _share_a_class(part.labels, gallery.labels) & ~same_source
        all_items = torch.full((len(part),), len(rows))
        elsewhere = similarity.masked_fill(same_source, -torch.inf)
        for order, kinds, items in (
            (similarity, {"": own, " by group": same_source}, all_items),
            (elsewhere, {" same class": same_class}, all_items - same_source.sum(dim=1)),
        ):
            nearest = order.topk(max(ks, default=0), dim=1).indices
            for kind, relevant in kinds.items():
                for k, hits in recall_hits(relevant.gather(1, nearest), ks).items():
                    found.setdefault(f"R@{k}{kind}", []).append(hits.double())
                    by_chance = chance_of_a_hit(items, relevant.sum(dim=1), k)
                    found.setdefault(f"chance R@{k}{kind}", []).append(by_chance)
        start += len(similarity)
    return {name: torch.cat(parts) for name, parts in found.items()}


def chance_of_a_hit(items: Tensor, relevant: Tensor, k: int) -> Tensor:
    """Return the chance that one of k items sampled without replacement is relevant: 1 - C(n - m, k) / C(n, k).

    Args:
        items: Number of items to sample from, n: int64 (Q,).
        relevant: Number of relevant items, m: int64 (Q,).
        k: Number of samples.

    Returns:
        float64 (Q,).
    """
    sampled = torch.arange(k)
    others = ((items - relevant).unsqueeze(1) - sampled).clamp(min=0)
    left = (items.unsqueeze(1) - sampled).clamp(min=1).double()
    return torch.where(relevant > 0, 1 - (others / left).prod(dim=1), 0.0)  # also if all items are excluded


def _share_a_class(first: Tensor, second: Tensor) -> Tensor:
    if first.ndim == 1:
        return first.unsqueeze(1) == second
    return first.float() @ second.float().mT > 0
