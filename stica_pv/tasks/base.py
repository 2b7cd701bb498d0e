"""The contract between a method and everything else: the engine, the data and the evaluations know only this."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stica_pv.distributed import gather, rank
from stica_pv.structures import Batch, Comparison, Embeddings, InputNote, LossTerms, StepKeys, Views

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning-rate factor.

    Attributes:
        name: For logs and checkpoints.
        parameters: The parameters.
        lr_scale: Factor on the scheduled learning rate.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    lr_scale: float = 1.0


class Plan(ABC):
    """All random choices of a step, drawn on the CPU before it is applied."""

    @abstractmethod
    def to(self, device: torch.device) -> "Plan":
        """Returns the plan on `device`."""

    @abstractmethod
    def rows(self, part: slice) -> "Plan":
        """Returns what `Task.embed` needs of the plan for some samples of the batch."""


class Task(nn.Module, ABC):
    """A pre-training method.

    A step is draw → prepare → embed → gather → loss. The parts are separate so that several ranks can be simulated in
    one process, gradients cached over chunks, and one part replaced; `forward` composes them.

    Attributes:
        gather_with_gradient: Whether gradients flow to the rows of other processes.
    """

    gather_with_gradient = False

    @abstractmethod
    def views(self) -> Views:
        """What the task wants to see of each video."""

    def check_labels(self, labels: Sequence[int] | None) -> None:
        """Looks at the classes of the videos before anything runs; a method that learns without labels needs none.

        Raises:
            UsageError: The task cannot learn from them.
        """
        return

    @abstractmethod
    def draw(self, keys: StepKeys) -> Any:
        """Draws the random choices of a step on the CPU; equal keys give equal plans."""

    @abstractmethod
    def prepare(self, batch: Batch, plan: Any) -> Inputs:
        """Makes network inputs of a batch on its device: color, log-mel; fp32, no gradient."""

    @abstractmethod
    def embed(self, inputs: Inputs, plan: Any) -> Embeddings:
        """Runs the networks on this process' samples."""

    @abstractmethod
    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Compares local rows with those of all processes, of which the local ones begin at `rank_offset`.

        In a step it is called by `compare`: outside autocast, with rows in fp32 or better.
        """

    @abstractmethod
    def encoders(self) -> dict[str, nn.Module]:
        """What evaluation and export use: ``{"video": …, "audio": …}``, each from raw loader tensors to (B, D)."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """Groups for the optimizer; by default one of everything that learns."""
        return [ParameterGroup("all", tuple(p for p in self.parameters() if p.requires_grad))]

    def negatives(self, batch_size: int) -> int:
        """Number of keys that a query is told from, at a global batch size."""
        return batch_size - 1

    def facts(self) -> dict[str, int]:
        """What a person may want to know of the method's sizes, by name; written into run.json."""
        return {}

    def input_notes(self, plan: Any) -> Mapping[str, InputNote]:
        """How a person is to look at the inputs of a step, by their names in `Inputs`; those left out are not shown."""
        return {}

    def comparisons(self, local: Embeddings) -> Sequence[Comparison]:
        """What the loss pulls together, for a person who wants to see how near it is; no gradient is needed."""
        return ()

    def forward(self, batch: Batch, plan: Any) -> LossTerms:
        """Loss of one step on this process."""
        with torch.no_grad(), torch.autocast(batch.index.device.type, enabled=False):
            inputs = self.prepare(batch, plan)
        return self.compare(self.embed(inputs, plan))

    def compare(self, local: Embeddings) -> LossTerms:
        """Loss of embeddings of this process, (G, B, D), among those of all; in fp32 or better whatever made them."""
        gathered = gather(local, with_gradient=self.gather_with_gradient)
        rows = next(iter(local.values()))
        with torch.autocast(rows.device.type, enabled=False):
            return self.loss(_in_full(local), _in_full(gathered), rank_offset=rank() * rows.shape[1])


def _in_full(embeddings: Embeddings) -> Embeddings:
    return {name: rows.to(torch.promote_types(rows.dtype, torch.float32)) for name, rows in embeddings.items()}
