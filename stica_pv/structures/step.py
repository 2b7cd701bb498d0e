"""What a step computes with: crop windows as weights, embeddings, loss terms."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from stica_pv.structures.media import describe

Embeddings = dict[str, Tensor]
"""Named groups of rows, each (G, B, D): G groups (crops, views) of B samples. `distributed.gather` joins the B axes."""


@dataclass(frozen=True)
class CropPlan:
    """Feature-crop windows as averaging weights; every row sums to one.

    Attributes:
        space: (N, H·W), or (B, N, H·W) for windows of each sample's own.
        time: (N, K, T), or (B, N, K, T): row k averages the steps that become token k.
        pathways: The same windows on the further maps of a trunk that gives several.
    """

    space: Tensor
    time: Tensor
    pathways: tuple["CropPlan", ...] = ()

    def __post_init__(self) -> None:
        if self.space.ndim + 1 != self.time.ndim or self.space.shape[:-1] != self.time.shape[:-2]:
            raise ValueError(f"space (…, N, H·W) and time (…, N, K, T) do not fit: {self}")

    def __repr__(self) -> str:
        further = f", pathways={self.pathways}" if self.pathways else ""
        return f"CropPlan(space={describe(self.space)}, time={describe(self.time)}{further})"

    def rows(self, part: slice) -> "CropPlan":
        """Returns the windows of some samples; shared windows are everybody's."""
        if self.space.ndim == 2:
            return self
        return CropPlan(self.space[part], self.time[part], tuple(plan.rows(part) for plan in self.pathways))

    def to(self, device: torch.device) -> "CropPlan":
        """Returns the plan on `device`."""
        return CropPlan(
            self.space.to(device, non_blocking=True),
            self.time.to(device, non_blocking=True),
            tuple(plan.to(device) for plan in self.pathways),
        )


@dataclass(frozen=True)
class LossTerms:
    """Result of a step.

    Attributes:
        total: 0-d tensor with gradient, to be minimized.
        scalars: Detached 0-d tensors to log, by name; the engine averages them over ranks on logged steps.
    """

    total: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)
