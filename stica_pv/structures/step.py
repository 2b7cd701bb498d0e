"""Values of a step: crop windows as weights, embeddings, loss terms."""

from dataclasses import dataclass, field

from torch import Tensor

from stica_pv.structures.media import describe
from stica_pv.structures.movable import Movable

Embeddings = dict[str, Tensor]
"""Named groups of rows, each (G, B, D): G groups (crops, views) of B samples. `distributed.gather` joins the B axes."""


@dataclass(frozen=True)
class CropPlan(Movable):
    """Feature-crop windows as averaging weights; every row sums to one.

    Attributes:
        space: Spatial weights (N, H·W), or (B, N, H·W) if windows differ by sample.
        time: Temporal weights (N, K, T), or (B, N, K, T); row k averages the steps that become token k.
        pathways: The same windows on the further maps of a trunk with several maps.
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
        """Returns the windows of some samples; windows that all samples share stay."""
        if self.space.ndim == 2:
            return self
        return CropPlan(self.space[part], self.time[part], tuple(plan.rows(part) for plan in self.pathways))


@dataclass(frozen=True)
class LossTerms:
    """Result of a step.

    Attributes:
        total: Loss to minimize, a 0-d tensor with gradient.
        scalars: Values to log by name, detached 0-d tensors; the engine averages them over ranks on logged steps.
    """

    total: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)
