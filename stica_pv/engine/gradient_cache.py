"""Large contrastive batches on few devices: embed in chunks, compare all at once, embed again with gradient.

Gradient caching (Gao et al., RepL4NLP 2021). The loss sees every row of the batch, so its gradient is that of the whole
batch; memory is that of one chunk, and the trunk runs once more without gradient. Batch-norm takes its statistics per
chunk: with it, and only with it, the result differs from one large batch.
"""

from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stica_pv.distributed import frozen_statistics
from stica_pv.keyed_random import seed_of
from stica_pv.structures import Batch, Embeddings, LossTerms


class Embedding(Protocol):
    """Methods of a task that gradient caching uses; see `stica_pv.tasks.Task`."""

    def prepare(self, batch: Batch, params: Any) -> dict[str, Tensor]: ...  # noqa: D102 - a protocol's methods
    def embed(self, inputs: dict[str, Tensor], params: Any) -> Embeddings: ...  # noqa: D102
    def compare(self, local: Embeddings) -> LossTerms: ...  # noqa: D102


class Embedder(nn.Module):
    """Embedding of a task as a module, so that DistributedDataParallel reduces its gradients."""

    def __init__(self, task: nn.Module) -> None:
        super().__init__()
        self.task: Any = task

    def forward(self, inputs: dict[str, Tensor], params: Any) -> Embeddings:
        """Embeds some samples."""
        return self.task.embed(inputs, params)


class CachedModel:
    """Replaces a task in the loop: call it with (batch, params), and `finish` after the backward pass."""

    def __init__(self, task: Embedding, embedder: nn.Module, *, chunk: int) -> None:
        """Stores the task and the embedding module.

        Args:
            task: The task.
            embedder: An `Embedder` of the task, or its wrapper for several processes.
            chunk: Samples embedded at a time; divides the local batch.
        """
        self.task, self.embedder, self.chunk = task, embedder, chunk
        self._again: list[tuple[int, dict[str, Tensor], Any]] = []
        self._leaves: Embeddings = {}
        self._cast: dict[str, Any] = {}

    def __call__(self, batch: Batch, params: Any) -> LossTerms:
        """Computes the loss of the whole batch, with a graph that ends at the embeddings."""
        device = batch.index.device.type
        with torch.no_grad(), torch.autocast(device, enabled=False):
            inputs = self.task.prepare(batch, params)
        # The autocast settings of the caller; `finish` is called outside autocast, like a backward pass.
        self._cast = {
            "device_type": device,
            "dtype": torch.get_autocast_dtype(device),
            "enabled": torch.is_autocast_enabled(device),
        }
        self._again = []
        parts: list[Embeddings] = []
        base = torch.initial_seed()  # the loop's seed of this step
        for number, start in enumerate(range(0, len(batch), self.chunk)):
            rows = slice(start, start + self.chunk)
            job = (
                seed_of("chunk", base, number),
                {name: value[rows] for name, value in inputs.items()},
                params.rows(rows),
            )
            with torch.no_grad(), frozen_statistics(self.embedder):
                parts.append(self._embed(job))
            self._again.append(job)
        self._leaves = {name: torch.cat([part[name] for part in parts], dim=1).requires_grad_() for name in parts[0]}
        return self.task.compare(self._leaves)

    def _embed(self, job: tuple[int, dict[str, Tensor], Any]) -> Embeddings:
        seed, inputs, params = job
        torch.manual_seed(seed)  # the same dropout both times
        with torch.autocast(**self._cast):
            embeddings: Embeddings = self.embedder(inputs, params)
        return embeddings

    def finish(self) -> None:
        """Propagates the gradients of the embeddings into the networks, chunk by chunk; call it after ``backward``."""
        start = 0
        for number, job in enumerate(self._again):
            last = number == len(self._again) - 1
            wait = isinstance(self.embedder, DistributedDataParallel) and not last
            with self.embedder.no_sync() if wait else nullcontext():  # type: ignore[operator]
                rows = self._embed(job)
                size = next(iter(rows.values())).shape[1]
                pairs = [
                    (value, leaf.grad[:, start : start + size].to(value.dtype))
                    for value, leaf in ((rows[name], leaf) for name, leaf in self._leaves.items())
                    if leaf.grad is not None and value.requires_grad
                ]
                torch.autograd.backward([value for value, _ in pairs], [grad for _, grad in pairs])
            start += size
        self._again, self._leaves = [], {}
