"""A linear softmax classifier on frozen features, trained by SGD: the same weights for the same rows and seed."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stica_pv.keyed_random import generator


@dataclass(frozen=True)
class SoftmaxRecipe:
    """How the classifier is trained; the defaults are those of CVRL's linear evaluation.

    Attributes:
        lr: Learning rate at a batch of 1024; it follows the batch in proportion.
        batch_size: Items of a step; a smaller set is one batch.
        epochs: Passes over the items, one view of each at random.
        warmup_share: Of all steps, in which the learning rate rises from 0.
        momentum: Of SGD.
        weight_decay: Of SGD.
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
        """Mean over views of softmax probabilities: (V, N, D) -> (V, classes)."""
        found = []
        for part in features.split(1024):  # the logits of all views of all items would not fit
            logits = F.linear(part.to(self.weight.device), self.weight, self.bias)
            found.append(logits.softmax(dim=-1).mean(dim=1).cpu())
        return torch.cat(found)


def lr_factor(step: int, *, total: int, warmup: int) -> float:
    """Share of the peak learning rate: cosine over all steps, with a linear rise to its value at the end of warm-up.

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
    """Trains from zero weights; what is left over of an epoch after whole batches is left to the next.

    Args:
        features: float32 (V, N, D).
        labels: int64 (V,).
        classes: Number of classes.
        recipe: How.
        seed: Of the order of the items and the choice of their views.
        device: Where to train; default: where the features are.
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
    return LinearClassifier(weight.detach(), bias.detach())
