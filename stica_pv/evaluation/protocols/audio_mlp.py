"""AudioSet's classifier on frozen features: one hidden layer, multi-label; mAP, AUC and d'."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stica_pv.evaluation.feature_set import FeatureSet
from stica_pv.evaluation.metrics import Metric
from stica_pv.evaluation.normalization import LEAST_DEVIATION
from stica_pv.evaluation.protocols.one_modality import OneModality
from stica_pv.evaluation.protocols.requests import describe_views
from stica_pv.evaluation.ranking import LabelRanking
from stica_pv.evaluation.requests import FeatureRequest
from stica_pv.keyed_random import generator, seed_of
from stica_pv.progress import Progress


@dataclass(frozen=True)
class MlpRecipe:
    """Training recipe of the MLP; ours, since that of BraVe is not published.

    Attributes:
        hidden: Width of the hidden layer.
        lr: Learning rate of AdamW, with a cosine schedule to 0.
        batch_size: Items per step, with one random view each; a smaller set is one batch.
        epochs: Number of epochs.
        weight_decay: Weight decay of AdamW.
    """

    hidden: int = 512
    lr: float = 1e-3
    batch_size: int = 512
    epochs: int = 30
    weight_decay: float = 0.0


@dataclass(frozen=True)
class AudioMlp(OneModality):
    """Standardized features, one hidden layer, sigmoid for each class; test scores are the mean over windows.

    Attributes:
        train: Windows of a training item.
        test: Windows of a test item.
        recipe: Training recipe.
        device: Device of the training.
    """

    train: FeatureRequest
    test: FeatureRequest
    recipe: MlpRecipe
    device: torch.device
    processed: bool = False

    @property
    def name(self) -> str:
        """Exact name of the protocol."""
        r = self.recipe
        return (
            f"audio_mlp ({describe_views(self.train, self.test)}, standardized, {r.hidden} hidden units, lr {r.lr:g}, "
            f"batch {r.batch_size}, {r.epochs} epochs, weight decay {r.weight_decay:g})"
        )

    def score(self, train: Mapping[str, FeatureSet], test: Mapping[str, FeatureSet], *, seed: int) -> list[Metric]:
        """Return mAP and AUC over classes, and d_prime."""
        fitted, unseen = train[self.train.modality], test[self.test.modality]
        classes = several_labels(fitted.labels).shape[1]
        labels = several_labels(unseen.labels, classes=classes)
        network = self.fit(fitted, seed=seed)
        return LabelRanking(self.probabilities(network, unseen.features), labels).metrics()

    def fit(self, train: FeatureSet, *, seed: int) -> "Mlp":
        """Train on the training items."""
        labels = several_labels(train.labels).float()
        network = Mlp(train.features, hidden=self.recipe.hidden, classes=labels.shape[1], seed=seed).to(self.device)
        train_mlp(network, train.features, labels, recipe=self.recipe, seed=seed)
        return network

    @torch.no_grad()
    def probabilities(self, network: nn.Module, features: Tensor) -> Tensor:
        """Return the mean over windows of the probabilities: (V, N, D) -> (V, classes)."""
        parts = features.split(1024)
        return torch.cat([network(part.to(self.device)).sigmoid().mean(dim=1).cpu() for part in parts])


def several_labels(labels: Tensor, *, classes: int | None = None) -> Tensor:
    """Return labels as bool (V, classes): unchanged, or one-hot for single labels; unknown classes are dropped."""
    if labels.ndim == 2:
        return labels
    return labels.unsqueeze(1) == torch.arange(int(labels.max()) + 1 if classes is None else classes)


class Mlp(nn.Module):
    """Standardization by the training rows, a hidden layer with ReLU, and logits.

    Args:
        features: Features of the training items, (V, N, D).
        hidden: Width of the hidden layer.
        classes: Number of logits.
        seed: Seed of the weights, initialized as in `nn.Linear`.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: Tensor, *, hidden: int, classes: int, seed: int) -> None:
        super().__init__()
        rows = features.flatten(0, 1)
        self.register_buffer("mean", rows.mean(dim=0, dtype=torch.float64).float())
        self.register_buffer("scale", rows.std(dim=0, correction=0).clamp(min=LEAST_DEVIATION))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("mlp", seed))
            self.hidden, self.logits = nn.Linear(rows.shape[1], hidden), nn.Linear(hidden, classes)

    def forward(self, features: Tensor) -> Tensor:
        """Map features as extracted (..., D) to logits (..., classes)."""
        return self.logits(self.hidden((features - self.mean) / self.scale).relu())


@torch.enable_grad()
def train_mlp(network: nn.Module, features: Tensor, targets: Tensor, *, recipe: MlpRecipe, seed: int) -> None:
    """Train with binary cross-entropy and AdamW; each epoch drops its incomplete last batch.

    Args:
        network: Network, trained in place on its device.
        features: float32 (V, N, D).
        targets: float32 (V, classes), 0 or 1.
        recipe: Training recipe.
        seed: Seed of the order of the items and the choice of their views.
    """
    items, views, _ = features.shape
    device = next(network.parameters()).device
    batch = min(recipe.batch_size, items)
    steps = items // batch
    adam = torch.optim.AdamW(network.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, recipe.epochs * steps)
    with Progress("MLP", recipe.epochs, unit="epochs") as progress:
        for epoch in range(recipe.epochs):
            rng = generator("mlp", seed, epoch)
            order, view = torch.randperm(items, generator=rng), torch.randint(views, (items,), generator=rng)
            for rows in order.split(batch)[:steps]:
                logits = network(features[rows, view[rows]].to(device))
                adam.zero_grad()
                F.binary_cross_entropy_with_logits(logits, targets[rows].to(device)).backward()
                adam.step()
                cosine.step()
            progress.add()
