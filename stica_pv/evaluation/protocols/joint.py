"""A protocol on frames and audio together, beside each alone: what one adds to the other."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric
from stica_pv.evaluation.protocols.one_modality import OneModalityProtocol
from stica_pv.evaluation.requests import BOTH, MODALITIES, FeatureRequest, Modality, Requests

logger = logging.getLogger(__name__)

CONCATENATED, SUMMED = "concatenated", "summed"

Pair = tuple[FeatureSet, FeatureSet]
"""Training and test items of one kind of features."""


@dataclass(frozen=True)
class Joint:
    """Scores of one protocol on video, on audio, on concatenated and on summed features, in this order.

    For both together each view of each modality is scaled to unit length first. The sum needs features of one width,
    which projected features have. Retrieval on projected features, which share a space, also has queries of one
    modality in a gallery of sums.

    Attributes:
        inner: The protocol, with requests for video; those for audio have as many windows.
    """

    inner: OneModalityProtocol

    @property
    def name(self) -> str:
        """Exact name of the protocol."""
        return f"{self.inner.name}, {BOTH}"

    @property
    def processed(self) -> bool:
        """Whether each modality is normalized before."""
        return self.inner.processed

    def train_requests(self) -> Requests:
        """Return the requests for the training items of both modalities."""
        return _both(self.inner.train)

    def test_requests(self) -> Requests:
        """Return the requests for the test items of both modalities."""
        return _both(self.inner.test)

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> Sequence[Metric]:
        """Return the metrics of the protocol, each as ``video top1``, ``audio top1``, ``concatenated top1``, …."""
        metrics = []
        for name, (gallery, items) in self._parts(train, test).items():
            key = self.inner.test.modality
            found = self.inner.score({key: gallery}, {key: items}, seed=seed)
            for metric in found:
                paired_with = f"{name} {metric.paired_with}" if metric.paired_with else metric.paired_with
                metrics.append(replace(metric, name=f"{name} {metric.name}", paired_with=paired_with))
        return metrics

    def _parts(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet]) -> dict[str, Pair]:
        fitted, scored = _together(train), _together(test)
        parts: dict[str, Pair] = {name: (train[name], test[name]) for name in MODALITIES}
        parts |= {name: (fitted[name], scored[name]) for name in fitted}
        if SUMMED not in fitted:
            logger.warning("%s: no sum, since features of video and audio differ in width", self.inner.name)
        elif self.inner.compares_modalities and self.inner.test.layer == "projected":
            parts |= {f"{name} query": (fitted[SUMMED], test[name]) for name in MODALITIES}
        return parts


def _together(sets: Mapping[str, FeatureSet]) -> dict[str, FeatureSet]:
    """Return unit vectors of both, concatenated and, if possible, summed; each crop of a clip gets its clip's audio."""
    video, audio = (F.normalize(sets[name].features, dim=-1) for name in MODALITIES)
    audio = audio.repeat_interleave(video.shape[1] // audio.shape[1], dim=1)
    found = {CONCATENATED: torch.cat([video, audio], dim=-1)}
    if video.shape == audio.shape:
        found[SUMMED] = video + audio
    return {name: replace(sets["video"], features=features) for name, features in found.items()}


def _both(request: FeatureRequest) -> Requests:
    requests: dict[Modality, FeatureRequest] = {name: replace(request, modality=name) for name in MODALITIES}
    return requests
