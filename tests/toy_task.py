"""A method of a few lines: each view is averaged to a number, and a linear layer makes the numbers agree."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stica_pv.keyed_random import generator
from stica_pv.structures import Batch, Embeddings, LossTerms, StepKeys, Views
from stica_pv.tasks import Task
from stica_pv.tasks.base import AugmentationParams


@dataclass(frozen=True)
class ToyParams(AugmentationParams):
    """A noise level for every sample."""

    noise: Tensor

    def rows(self, part: slice) -> "ToyParams":
        """Returns the noise of some samples."""
        return ToyParams(self.noise[part])


class ToyTask(Task):
    """Embeds the mean of every view by a layer of its own and pulls the views of a video together."""

    def __init__(self, views: Views, *, watch: Callable[[Batch, StepKeys], None] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self._views, self._watch, self._keys = views, watch, StepKeys(0, 0, 0, ())
        self.layers = nn.ModuleDict({spec.name: nn.Linear(1, 2) for spec in views.specs})
        self.dropout = nn.Dropout(0.5)

    def views(self) -> Views:
        """What it was built with."""
        return self._views

    def sample_params(self, keys: StepKeys) -> ToyParams:
        """Draws a level for each sample."""
        self._keys = keys
        rngs = [generator("toy", keys.seed, keys.epoch, index) for index in keys.indices]
        return ToyParams(torch.stack([torch.rand((), generator=rng) for rng in rngs]))

    def prepare(self, batch: Batch, params: ToyParams) -> dict[str, Tensor]:
        """Averages frames and audio."""
        if self._watch is not None:
            self._watch(batch, self._keys)
        video = {name: view.float().mean(dim=(1, 2, 3, 4)) / 255 for name, view in batch.video.items()}
        audio = {name: view.square().mean(dim=1) for name, view in batch.audio.items()}
        return {name: (value + 0.1 * params.noise).unsqueeze(1) for name, value in (video | audio).items()}

    def embed(self, inputs: dict[str, Tensor], params: ToyParams) -> Embeddings:
        """Embeds each view."""
        return {name: self.dropout(self.layers[name](value)).unsqueeze(0) for name, value in inputs.items()}

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Spread of the views of a video around their mean, minus the spread of the videos."""
        rows = torch.cat(list(local.values()))
        total = rows.var(dim=0).mean() - 0.1 * rows.var(dim=1).mean()
        return LossTerms(total, {"loss": total.detach()})

    def encoders(self) -> dict[str, nn.Module]:
        """Has none."""
        return {}
