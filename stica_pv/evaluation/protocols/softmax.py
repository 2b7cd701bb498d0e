"""A linear softmax classifier on frozen features, trained by SGD: the same weights for the same rows and seed."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.keyed_random import generator
from stica_pv.progress import Progress


@dataclass(frozen=True)
class SoftmaxRecipe:
    """Training recipe of the classifier; the defaults are those of CVRL.

    Attributes:
        lr: Learning rate at batch 1024, scaled linearly with the batch.
        batch_size: Items per step; a smaller set is one batch.
        epochs: Number of epochs, with a random view per item.
        warmup_share: Share of all steps in which the learning rate rises from 0.
        momentum: Momentum of SGD.
        weight_decay: Weight decay of SGD.
    """

    lr: float = 32.0
    batch_size: int = 1024
    epochs: int = 100
    warmup_share: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 0.0


@dataclass(frozen=True)
class LinearClassifier:
    """Weights (classes, D) and bias (classes,) of logits."""

    weight: Tensor
    bias: Tensor

    def probabilities(self, features: Tensor) -> Tensor:
        """Return the mean over views of softmax probabilities: (V, N, D) -> (V, classes)."""
        found = []
        for part in features.split(1024):  # the logits of all views of all items exceed the memory
            logits = F.linear(part.to(self.weight.device), self.weight, self.bias)
            found.append(logits.softmax(dim=-1).mean(dim=1).cpu())
        return torch.cat(found)


def lr_factor(step: int, *, total: int, warmup: int) -> float:
    """Return the factor of the peak learning rate: cosine over all steps, after a linear rise in the warm-up.

    This is the schedule of CVRL's code; the engine's own starts its cosine at the end of the warm-up.
    """
    cosine = 0.5 * (1 + math.cos(math.pi * max(step, warmup) / total))
    return cosine * min(1.0, step / warmup) if warmup else cosine


@torch.enable_grad()
def fit_softmax(
    features: Tensor,
    labels: Tensor,
    *,
    classes: int,
    recipe: SoftmaxRecipe,
    seed: int,
    device: torch.device | None = None,
) -> LinearClassifier:
    """Train from zero weights; each epoch drops its incomplete last batch.

    Args:
        features: float32 (V, N, D).
        labels: int64 (V,).
        classes: Number of classes.
        recipe: Training recipe.
        seed: Seed of the order of the items and the choice of their views.
        device: Device of the training; default: that of the features.
    """
    device = device or features.device
    items, views, dim = features.shape
    weight = torch.zeros(classes, dim, device=device, requires_grad=True)
    bias = torch.zeros(classes, device=device, requires_grad=True)
    batch = min(recipe.batch_size, items)
    steps_per_epoch = items // batch
    total = recipe.epochs * steps_per_epoch
    peak, warmup = recipe.lr * batch / 1024, round(recipe.warmup_share * total)
    sgd = torch.optim.SGD([weight, bias], lr=0.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay)
    with Progress(f"linear classifier, lr {recipe.lr:g}", recipe.epochs, unit="epochs") as progress:
        for epoch in range(recipe.epochs):
            rng = generator("softmax", seed, epoch)
            order, view = torch.randperm(items, generator=rng), torch.randint(views, (items,), generator=rng)
            for i, rows in enumerate(order.split(batch)[:steps_per_epoch]):
                step = epoch * steps_per_epoch + i
                sgd.param_groups[0]["lr"] = peak * lr_factor(step, total=total, warmup=warmup)
                logits = F.linear(features[rows, view[rows]].to(device), weight, bias)
                sgd.zero_grad()
                F.cross_entropy(logits, labels[rows].to(device)).backward()
                sgd.step()
            progress.add()
    return LinearClassifier(weight.detach(), bias.detach())
