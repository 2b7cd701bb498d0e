"""The interface of a method: the engine, the data and the evaluations know only this."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stica_pv.distributed import gather, rank
from stica_pv.precision import full_precision
from stica_pv.structures import Batch, Comparison, Embeddings, InputNote, LossTerms, Movable, StepKeys, Views

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning-rate factor.

    Attributes:
        name: Name of the group, in logs and checkpoints.
        parameters: Parameters of the group.
        lr_scale: Factor on the scheduled learning rate.
    """

    name: str
    parameters: tuple[nn.Parameter, ...]
    lr_scale: float = 1.0


class AugmentationParams(Movable, ABC):
    """All random choices of a step, sampled on the CPU before any of them is applied; a dataclass."""

    @abstractmethod
    def rows(self, part: slice) -> "AugmentationParams":
        """Returns the part of the parameters that `Task.embed` needs for some samples of the batch."""


class Task(nn.Module, ABC):
    """A pre-training method.

    A step is sample_params → prepare → embed → gather → loss. The parts are separate, so that several ranks can be
    simulated in one process, gradients can be cached over chunks, and one part can be replaced. `forward` composes
    them.

    Attributes:
        gather_with_gradient: Whether gradients flow to the rows of other processes.
        local_terms: Names of embeddings that only their own process uses, such as the reconstruction error of each
            sample: `loss` finds them in `local`, and not in `gathered`.
    """

    gather_with_gradient = False
    local_terms: frozenset[str] = frozenset()

    @abstractmethod
    def views(self) -> Views:
        """Returns the views that the task needs of each video."""

    def check_labels(self, labels: Sequence[int] | None) -> None:
        """Checks the labels of the videos before anything runs; a method that learns without labels accepts all.

        Raises:
            UsageError: The task cannot learn from these labels.
        """
        return

    @abstractmethod
    def sample_params(self, keys: StepKeys) -> Any:
        """Samples the random choices of a step on the CPU; equal keys give equal parameters."""

    @abstractmethod
    def prepare(self, batch: Batch, params: Any) -> Inputs:
        """Computes the network inputs of a batch on its device (color, log-mel), in fp32 and without gradient."""

    @abstractmethod
    def embed(self, inputs: Inputs, params: Any) -> Embeddings:
        """Runs the networks on the samples of this process."""

    @abstractmethod
    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> LossTerms:
        """Compares local rows with those of all processes, among which the local ones begin at `rank_offset`.

        `gathered` has no `local_terms`; gradients of the processes are averaged, so a mean over the local rows is one
        over all of them. `compare` calls it outside autocast, with rows in fp32 or better.
        """

    @abstractmethod
    def encoders(self) -> dict[str, nn.Module]:
        """Returns the networks that evaluation and export use: ``{"video": …, "audio": …}``.

        Each maps raw loader tensors to (B, D).
        """

    def parameter_groups(self) -> list[ParameterGroup]:
        """Returns the groups for the optimizer; by default one group of all trainable parameters."""
        return [ParameterGroup("all", tuple(p for p in self.parameters() if p.requires_grad))]

    def after_step(self, step: int, total_steps: int) -> None:  # noqa: B027 - most methods need none
        """Called on every process after each step of the optimizer, and before a checkpoint; does nothing by default.

        A teacher that is a moving average of the student is updated here. Its weights belong to the task, so the
        checkpoint holds them; whatever else the task remembers from step to step must be a registered buffer.

        Args:
            step: Number of steps done, 1 after the first.
            total_steps: Number of steps of the whole training; TRAIN.MAX_STEPS does not change it.
        """

    def negatives(self, batch_size: int) -> int:
        """Returns the number of negatives per query for a global batch size."""
        return batch_size - 1

    def sizes(self) -> dict[str, int]:
        """Returns the sizes of the method by name; they are saved in run.json."""
        return {}

    def metric_descriptions(self) -> Mapping[str, str]:
        """Returns a sentence on each of the `LossTerms.scalars`, by name; run.json and the report have them."""
        return {}

    def input_notes(self, params: Any) -> Mapping[str, InputNote]:
        """Returns display metadata for the inputs of a step, by their names in `Inputs`; others are not shown."""
        return {}

    def comparisons(self, local: Embeddings) -> Sequence[Comparison]:
        """Returns the pairs that the loss pulls together, for display; no gradient is needed."""
        return ()

    def forward(self, batch: Batch, params: Any) -> LossTerms:
        """Returns the loss of one step on this process."""
        with torch.no_grad(), full_precision(batch.index.device):
            inputs = self.prepare(batch, params)
        return self.compare(self.embed(inputs, params))

    def compare(self, local: Embeddings) -> LossTerms:
        """Returns the loss of this process's embeddings (G, B, D) among those of all processes, in fp32 or better."""
        unknown = self.local_terms - set(local)
        if unknown:
            raise ValueError(f"local_terms {sorted(unknown)} are not among the embeddings {sorted(local)}")
        shared = {name: rows for name, rows in local.items() if name not in self.local_terms}
        gathered = gather(shared, with_gradient=self.gather_with_gradient)
        rows = next(iter(local.values()))
        with full_precision(rows.device):
            return self.loss(_in_full(local), _in_full(gathered), rank_offset=rank() * rows.shape[1])


def _in_full(embeddings: Embeddings) -> Embeddings:
    return {name: rows.to(torch.promote_types(rows.dtype, torch.float32)) for name, rows in embeddings.items()}
