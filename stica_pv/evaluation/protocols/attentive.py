"""Attentive probe: a small transformer on the tokens of a frozen network, its grid trained side by side."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stica_pv.errors import UsageError
from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric
from stica_pv.evaluation.protocols.attentive_probe import AttentiveProbe, ProbeRecipe, fit_probes, probabilities
from stica_pv.evaluation.protocols.requests import describe_views
from stica_pv.evaluation.ranking import top_k_hits, top_k_metrics
from stica_pv.evaluation.requests import FeatureRequest, Modality, Requests
from stica_pv.evaluation.splits import grouped_holdout

NAME = "attentive"
BEST = "best of the grid, chosen on the test list"
Sets = Mapping[str, FeatureSet]


@dataclass(frozen=True)
class Attentive:
    """Accuracy of an attentive probe on video, on audio, or on both and each alone.

    All clips of an item are one set of tokens; the probabilities of its spatial crops are averaged. Tokens are
    standardized by channel with the training tokens.

    Attributes:
        train: Request for the training items, of tokens.
        test: Request for the test items, of tokens.
        modalities: Modalities, ``("video",)``, ``("audio",)`` or both.
        recipe: Architecture and training.
        lrs: Learning rates of the grid.
        weight_decays: Weight decays of the grid.
        holdout_share: Share of training items that choose a pair of the grid.
        device: Device of the training.
    """

    train: FeatureRequest
    test: FeatureRequest
    modalities: tuple[Modality, ...]
    recipe: ProbeRecipe
    lrs: tuple[float, ...]
    weight_decays: tuple[float, ...]
    holdout_share: float
    device: torch.device
    processed: bool = False

    @property
    def name(self) -> str:
        """Exact name of the protocol."""
        views = describe_views(self.train, self.test).replace(self.test.modality, "+".join(self.modalities))
        blocks = f"{self.recipe.depth} block{'s' * (self.recipe.depth > 1)}"
        lrs, decays = (", ".join(f"{value:g}" for value in values) for values in (self.lrs, self.weight_decays))
        return (
            f"{NAME} ({views}, standardized, {blocks}, {self.recipe.heads} heads, AdamW, lr {lrs} x "
            f"weight decay {decays} by {100 * self.holdout_share:g} % hold-out, batch {self.recipe.batch_size}, "
            f"{self.recipe.epochs} epochs)"
        )

    def train_requests(self) -> Requests:
        """Return the requests for the training items."""
        return {name: replace(self.train, modality=name) for name in self.modalities}

    def test_requests(self) -> Requests:
        """Return the requests for the test items."""
        return {name: replace(self.test, modality=name) for name in self.modalities}

    def score(self, train: Sets, test: Sets, *, seed: int) -> list[Metric]:
        """Return top1 and top5 of the probe that a hold-out chooses, and of the best one on the test list."""
        train, test = _standardized(train, test)
        if len(self.modalities) == 1:
            return self._score(train, test, seed)
        kinds = [*((name,) for name in self.modalities), self.modalities]
        return [
            replace(metric, name=f"{'both' if len(kind) > 1 else kind[0]} {metric.name}")
            for kind in kinds
            for metric in self._score({name: train[name] for name in kind}, {name: test[name] for name in kind}, seed)
        ]

    def _score(self, train: Sets, test: Sets, seed: int) -> list[Metric]:
        labels = next(iter(test.values())).labels
        probes = self.fit(train, seed=seed)
        found = [self._probabilities(probe, test) for probe in probes]
        best = max(found, key=lambda one: float(top_k_hits(one, labels, 1).double().mean()))
        chosen = top_k_metrics(found[self.choose(train, seed=seed)], labels)
        return [*chosen, *(replace(one, name=f"{one.name} ({BEST})") for one in top_k_metrics(best, labels))]

    @property
    def grid(self) -> list[tuple[float, float]]:
        """Pairs of a learning rate and a weight decay."""
        return list(itertools.product(self.lrs, self.weight_decays))

    def choose(self, train: Sets, *, seed: int) -> int:
        """Return the position in the grid that is best on held-out training items, the first of equals."""
        if len(self.grid) == 1:
            return 0
        items = next(iter(train.values()))
        inner, held = grouped_holdout(items.labels, items.groups, share=self.holdout_share, seed=seed)
        probes = self.fit({name: part.rows(inner) for name, part in train.items()}, seed=seed)
        chosen_by = {name: part.rows(held) for name, part in train.items()}
        scores = [probabilities(probe, [_tokens(chosen_by)], device=self.device) for probe in probes]
        hits = [float(top_k_hits(one, items.labels[held], 1).double().mean()) for one in scores]
        return hits.index(max(hits))

    def fit(self, train: Sets, *, seed: int) -> list[AttentiveProbe]:
        """Train the probes of the grid.

        Raises:
            UsageError: The items have several labels, or the heads do not divide the width of the tokens.
        """
        items = next(iter(train.values()))
        if items.labels.ndim != 1:
            raise UsageError(f"{NAME} needs one label per item, got several")
        if items.features.shape[-1] % self.recipe.heads:
            raise UsageError(
                f"{NAME}: tokens of {items.features.shape[-1]} channels cannot be divided among "
                f"TEST.ATTENTIVE.HEADS {self.recipe.heads} heads"
            )
        return fit_probes(
            _tokens(train),
            items.labels,
            classes=int(items.labels.max()) + 1,
            recipe=self.recipe,
            grid=self.grid,
            seed=seed,
            device=self.device,
        )

    def _probabilities(self, probe: AttentiveProbe, test: Sets) -> Tensor:
        """Return the mean over spatial crops; every crop of the frames goes with the same audio."""
        crops = self.test.spatial_crops if "video" in test else 1
        sets = []
        for crop in range(crops):
            parts = []
            for name, items in test.items():
                if name == "video":
                    views = items.features.unflatten(1, (self.test.clips, crops, -1))
                    parts.append(views[:, :, crop].flatten(1, 2))
                else:
                    parts.append(items.features)
            sets.append(parts)
        return probabilities(probe, sets, device=self.device)


def _tokens(sets: Sets) -> Sequence[Tensor]:
    return [items.features for items in sets.values()]


def _standardized(train: Sets, test: Sets) -> tuple[Sets, Sets]:
    """Standardize each channel by the training tokens."""
    moved: tuple[dict[str, FeatureSet], dict[str, FeatureSet]] = ({}, {})
    for name, items in train.items():
        flat = items.features.flatten(0, 1)
        mean, std = flat.mean(dim=0), flat.std(dim=0).clamp_min(1e-6)
        for out, given in zip(moved, (items, test[name]), strict=True):
            out[name] = replace(given, features=(given.features - mean) / std)
    return moved
