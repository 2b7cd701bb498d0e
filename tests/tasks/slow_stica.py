"""STiCA's step and loss written out with slices and loops, from section 3 of the paper and the released pairs."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from tiny_task import EMBEDDING
from torch import Tensor, nn

from stica_pv.structures import Embeddings, StepKeys
from stica_pv.tasks import AVContrastive

INDICES = (11, 5, 8, 2, 9, 4)
UNEVEN = (1.0, 0.0, 0.7, 0.2, 0.0, 1.0)  # with audio: 0, 2 and 5 at the default share of 0.5


def keys_of(step: int = 3, indices: tuple[int, ...] = INDICES, epoch: int = 1, seed: int = 7) -> StepKeys:
    return StepKeys(seed=seed, step=step, epoch=epoch, indices=indices)


def slow_contrast(queries: Tensor, keys: Tensor, t: float) -> float:
    """L_t(X -> Y)."""
    total = 0.0
    for i, x in enumerate(queries):
        scores = [math.exp(float(x @ y) / t) for y in keys]
        total -= math.log(scores[i] / sum(scores)) / len(queries)
    return total


def slow_symmetric(x: Tensor, y: Tensor, t: float) -> float:
    return 0.5 * (slow_contrast(x, y, t) + slow_contrast(y, x, t))


def slow_cross(views: list[Tensor], audios: list[Tensor], heard: list[int], t: float) -> float:
    if not heard:
        return 0.0
    return 0.5 * sum(slow_symmetric(v[heard], a[heard], t) for v, a in zip(views, audios, strict=True))


def slow_within(large: list[list[Tensor]], small: list[list[Tensor]], pairing: str, t: float) -> tuple[float, int]:
    """Sum and number of the terms of one kind; `large[k]` holds the embeddings of the large crops of view k."""
    terms = []
    if pairing == "released":
        if len(large[1]) == 2:
            terms.append(slow_symmetric(large[1][1], large[0][1], t))
        terms += [slow_contrast(s, key, t) for key in large[0] for s in small[1]]
    else:
        terms += [slow_symmetric(a, b, t) for a in large[0] for b in large[1]]
        terms += [slow_contrast(s, key, t) for k in (0, 1) for s in small[k] for key in large[1 - k]]
    return sum(terms), len(terms)


def slow_total(task: AVContrastive, embeddings: Embeddings, a: float = 0.5) -> dict[str, float]:
    """L = (1 - a) L_crop + a L_AV; a crop that is missing where the released pairs do not use it is None."""
    windows, n1 = embeddings["windows"].detach(), 1 + len(task.table.crops[0])
    of_view = (windows[:n1], windows[n1:])
    heard = embeddings["audio_valid"][0, :, 0].nonzero().flatten().tolist()
    audios = list(embeddings["audio"].detach().expand(2, -1, -1))
    result = {"cross": slow_cross([view[0] for view in of_view], audios, heard, t=0.1)}
    sums, counts = [], []
    for kind in ("space", "time"):
        found: dict[bool, list[list[Any]]] = {True: [[None] * 2, [None] * 2], False: [[None] * 4, [None] * 4]}
        for view in (0, 1):
            for crop, rows in zip(task.table.crops[view], of_view[view][1:], strict=True):
                if crop.kind == kind:
                    found[crop.large][view][crop.number] = rows
        number = task.table.settings._counts()[kind]
        large, small = ([view[:n] for view in found[size]] for size, n in zip((True, False), number, strict=True))
        total, count = slow_within(large, small, task.table.settings.pairing, t=0.5)
        result[kind] = total / count if count else 0.0
        sums.append(total)
        counts.append(count)
    result["within"] = sum(sums) / sum(counts) if sum(counts) else 0.0
    result["total"] = (1 - a) * result["within"] + a * result["cross"]
    return result


def random_embeddings(task: AVContrastive, valid: tuple[float, ...], seed: int = 0) -> Embeddings:
    rng = torch.Generator().manual_seed(seed)
    number = 2 + sum(len(crops) for crops in task.table.crops)

    def rows(groups: int) -> Tensor:
        shape = (groups, len(valid), EMBEDDING)
        return F.normalize(torch.randn(shape, dtype=torch.float64, generator=rng), dim=-1).requires_grad_()

    heard = (torch.tensor(valid, dtype=torch.float64) >= task.audio_min_valid).double()
    return {"windows": rows(number), "audio": rows(task.audio_head_passes), "audio_valid": heard.view(1, -1, 1)}


def detached(embeddings: Embeddings) -> Embeddings:
    return {name: rows.detach() for name, rows in embeddings.items()}


def slow_head(head: nn.Module, x: Tensor) -> Tensor:
    """One call of the head on one crop: batch-norm written out."""
    x = head.linear1(x)
    x = (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + 1e-5) * head.norm.weight + head.norm.bias
    return F.normalize(head.linear2(torch.relu(x)), dim=-1)
