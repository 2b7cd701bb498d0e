"""Projectors and predictors of BraVe: which views share them, and the order of the views.

A slot is one use of a view: (broad, narrow) for each broad view, so that slot i is compared with slot i ^ 1. The narrow
view has one slot per broad view, as released.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from stica_pv.errors import check_choice
from stica_pv.models import Predictor, Projector
from stica_pv.tasks.brave.windows import NARROW

SHARINGS = ("all", "per_view", "per_direction")


class SharedHeads(nn.Module):
    """Projectors and predictors by the views that use them."""

    def __init__(
        self,
        dims: Mapping[str, int],
        *,
        sharing: str = "all",
        hidden_dim: int = 4096,
        out_dim: int = 128,
        predictor_dim: int = 4096,
        synchronize: bool = True,
    ) -> None:
        """Builds the heads.

        Args:
            dims: Feature length of each view: ``narrow`` first, then the broad ones.
            sharing: ``all``: one projector and one predictor, as released; views of another length have their own first
                layer. ``per_view``: a pair per view. ``per_direction``: a pair per slot, as in the first release.
            hidden_dim: Width of the projectors.
            out_dim: Length of z.
            predictor_dim: Width of the predictors.
            synchronize: Whether batch-norm statistics span all processes.
        """
        super().__init__()
        check_choice("BRAVE.HEADS", sharing, SHARINGS)
        broad = [view for view in dims if view != NARROW]
        self.slots = tuple(view for other in broad for view in (other, NARROW))
        names = {
            "all": ["all"] * len(self.slots),
            "per_view": list(self.slots),
            "per_direction": [name for other in broad for name in (f"{other}_to_narrow", f"narrow_to_{other}")],
        }[sharing]
        self._users = {name: [i for i, one in enumerate(names) if one == name] for name in dict.fromkeys(names)}
        self.projectors, self.predictors = nn.ModuleDict(), nn.ModuleDict()
        for name, slots in self._users.items():
            in_dims = [dims[self.slots[i]] for i in slots]
            self.projectors[name] = Projector(in_dims, hidden_dim=hidden_dim, out_dim=out_dim, synchronize=synchronize)
            self.predictors[name] = Predictor(out_dim, hidden_dim=predictor_dim, synchronize=synchronize)
        order = [i for slots in self._users.values() for i in slots]
        self._back = [order.index(i) for i in range(len(order))]

    def forward(self, features: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Maps the vectors (B, C) of every view to z and h(z), each (slots, B, out_dim) in fp32 or wider.

        The slots of one head are computed together, each normalized by its own batch statistics.
        """
        projections, predictions = [], []
        for name, slots in self._users.items():
            z = self.projectors[name]([features[self.slots[i]] for i in slots])
            projections.append(z)
            predictions.append(self.predictors[name](z))
        return self._by_slot(projections), self._by_slot(predictions)

    def _by_slot(self, of_heads: list[Tensor]) -> Tensor:
        rows = torch.cat(of_heads).to(torch.promote_types(of_heads[0].dtype, torch.float32)).unbind()
        return torch.stack([rows[i] for i in self._back])  # an index tensor would be copied to the device

    def projector_of(self, view: str) -> nn.Module:
        """Returns the projector of the first slot of a view."""
        slot = self.slots.index(view)
        return self.projectors[next(name for name, slots in self._users.items() if slot in slots)]
