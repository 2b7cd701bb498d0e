"""Reference for comparison: a straightforward STiCA step as a loop.

Each crop is sliced out of the map, averaged over space, and passes pooling and projection by itself; each term of the
loss is a cross-entropy of its own. It shares its parameters with the task and gives the task's numbers.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stica_pv.models import AveragePool
from stica_pv.models.feature_map import time_tokens
from stica_pv.structures import Embeddings
from stica_pv.tasks import AVContrastive


class Looped(nn.Module):
    """The same networks and loss as a task's, crop by crop and term by term."""

    def __init__(self, task: AVContrastive) -> None:
        super().__init__()
        self.task = [task]  # in a list, so that its parameters are not registered twice
        self.video_head, self.audio_head = plain_head(task.video_head), plain_head(task.audio_head)

    def embed(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], audio_vectors: Tensor) -> Embeddings:
        """Embeds windows and audio.

        Args:
            maps: Feature map (B, C, T, H, W) of each view.
            boxes: Windows of each view, int64 (N, 3, 2).
            audio_vectors: Vectors of the audio tower (B, C).
        """
        pool: Any = self.task[0].pool
        tokens = pool.num_tokens(maps[0].shape[2])
        rows = []
        for feature_map, its in zip(maps, boxes, strict=True):
            for (t0, t1), (y0, y1), (x0, x1) in its.tolist():
                crop = feature_map[:, :, t0:t1, y0:y1, x0:x1]
                rows.append(F.normalize(self.video_head(self.pool(time_tokens(crop, tokens))), dim=-1))
        audio = F.normalize(self.audio_head(audio_vectors), dim=-1)
        return {"windows": torch.stack(rows), "audio": audio.unsqueeze(0)}

    def pool(self, tokens: Tensor) -> Tensor:
        """Maps (B, K, C) to (B, D): every layer on all tokens, then the first of them."""
        pool: Any = self.task[0].pool
        if isinstance(pool, AveragePool):
            return pool.pool_tokens(tokens)
        return pool.layers(pool.reduce(tokens))[:, 0]

    def loss(self, local: Embeddings, gathered: Embeddings, *, rank_offset: int) -> Tensor:
        """Returns the loss L of clips that all have audio."""
        task = self.task[0]
        windows, keys = local["windows"], gathered["windows"]
        labels = torch.arange(windows.shape[1], device=windows.device) + rank_offset

        def contrast(x: Tensor, y: Tensor, temperature: float) -> Tensor:
            return F.cross_entropy(x @ y.mT / temperature, labels)

        cross = []
        for view in range(len(windows))[task.table.whole]:
            cross.append(contrast(windows[view], gathered["audio"][0], task.temperature))
            cross.append(contrast(local["audio"][0], keys[view], task.temperature))
        total = task.cross_modal_weight * sum(cross, torch.zeros(())) / len(cross)
        terms = task.table.terms
        if len(terms):
            pairs = zip(terms.queries, terms.keys, terms.weights, strict=True)
            t = task.within.temperature
            within = sum((weight * contrast(windows[q], keys[k], t) for q, k, weight in pairs), torch.zeros(()))
            total = total + (1 - task.cross_modal_weight) * within / sum(terms.weights)
        return total


def plain_head(head: Any) -> nn.Sequential:
    """The projection with PyTorch's own batch-norm, sharing the parameters of ours and starting with its statistics."""
    norm = nn.BatchNorm1d(len(head.norm.weight))
    norm.load_state_dict(head.norm.state_dict())
    norm.weight, norm.bias = head.norm.weight, head.norm.bias
    return nn.Sequential(head.drop1, head.linear1, norm, nn.ReLU(), head.drop2, head.linear2)
