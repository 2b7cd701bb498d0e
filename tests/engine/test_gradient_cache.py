"""A batch in chunks has the gradients of the batch as a whole, and leaves batch-norm's statistics in one state."""

from typing import Any

import pytest
import torch
from tiny_task import tiny_batch, tiny_task
from torch import Tensor, nn

from stica_pv.distributed import frozen_statistics
from stica_pv.engine.gradient_cache import CachedModel, Embedder
from stica_pv.structures import StepKeys
from stica_pv.tasks import AVContrastive, CropSettings

INDICES = (3, 1, 4, 5, 9, 2)
VALID = (1.0, 1.0, 0.0, 1.0, 1.0, 0.2)
SEED = 7


def gradients(task: AVContrastive, chunk: int) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of one step; `chunk` 0 is the plain path."""
    params = task.sample_params(StepKeys(0, 0, 0, INDICES))
    torch.manual_seed(SEED)
    model = CachedModel(task, Embedder(task), chunk=chunk) if chunk else task
    terms = model(tiny_batch(INDICES, VALID), params)
    terms.total.backward()
    if isinstance(model, CachedModel):
        model.finish()
    return float(terms.total.detach()), {name: p.grad for name, p in task.named_parameters() if p.grad is not None}


def without_batch_statistics(task: AVContrastive) -> AVContrastive:
    """Batch-norm by running statistics: the only layer that could differ between a chunk and the batch."""
    for part in task.modules():
        if hasattr(part, "num_batches_tracked"):
            part.eval()
    return task


@pytest.mark.parametrize("chunk", [2, 3, 6])
@pytest.mark.parametrize("per_sample", [False, True])
def test_gradients_equal_those_of_the_whole_batch(chunk: int, per_sample: bool):
    crops = CropSettings(2, 4, 2, 1, per_sample=per_sample)
    plain_loss, plain = gradients(without_batch_statistics(tiny_task(double=True, crops=crops)), 0)
    loss, cached = gradients(without_batch_statistics(tiny_task(double=True, crops=crops)), chunk)
    assert loss == pytest.approx(plain_loss, abs=1e-12)
    assert cached.keys() == plain.keys()
    for name, value in plain.items():
        torch.testing.assert_close(cached[name], value, rtol=1e-9, atol=1e-11)


def test_one_chunk_with_batch_norm_is_the_plain_path():
    plain_task, cached_task = tiny_task(double=True), tiny_task(double=True)
    plain_loss, plain = gradients(plain_task, 0)
    loss, cached = gradients(cached_task, len(INDICES))
    assert loss == pytest.approx(plain_loss, abs=1e-12)
    for name, value in plain.items():
        torch.testing.assert_close(cached[name], value, rtol=1e-9, atol=1e-11)
    for name, value in plain_task.state_dict().items():  # statistics were tracked once, not twice
        torch.testing.assert_close(cached_task.state_dict()[name], value)


def test_dropout_is_the_same_in_both_passes():
    # With other dropout the second pass would push embeddings that the loss never saw.
    task = without_batch_statistics(tiny_task(double=True, dropout=0.5))
    model = CachedModel(task, Embedder(task), chunk=3)
    params = task.sample_params(StepKeys(0, 0, 0, INDICES))
    torch.manual_seed(SEED)
    model(tiny_batch(INDICES), params)
    with torch.no_grad():
        again = torch.cat([model._embed(job)["windows"] for job in model._again], dim=1)
    # exact: the same code with the same shapes, twice
    torch.testing.assert_close(again, model._leaves["windows"].detach(), rtol=0, atol=0)


class Casting(nn.Module):
    """Notes how each forward of the embedder is cast."""

    def __init__(self, task: AVContrastive) -> None:
        super().__init__()
        self.embedder = Embedder(task)
        self.autocasts: list[tuple[bool, torch.dtype]] = []

    def forward(self, inputs: dict[str, Tensor], params: Any) -> Any:
        self.autocasts.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
        return self.embedder(inputs, params)


@pytest.mark.parametrize("cast", [True, False])
def test_both_passes_are_cast_alike_and_the_backward_pass_is_not(cast: bool):
    task = tiny_task()
    embedder = Casting(task)
    model = CachedModel(task, embedder, chunk=3)
    with torch.autocast("cpu", torch.float16, enabled=cast):
        terms = model(tiny_batch(INDICES, VALID), task.sample_params(StepKeys(0, 0, 0, INDICES)))
    in_backward: list[bool] = []
    next(iter(model._leaves.values())).register_hook(lambda _: in_backward.append(torch.is_autocast_enabled("cpu")))
    terms.total.backward()
    for parameter in task.parameters():
        parameter.register_hook(lambda _: in_backward.append(torch.is_autocast_enabled("cpu")))
    model.finish()
    assert {one[0] for one in embedder.autocasts} == {cast}
    assert len(embedder.autocasts) == 4
    assert len(set(embedder.autocasts)) == 1
    assert len(in_backward) > 1
    assert not any(in_backward)


def test_frozen_statistics_are_restored_and_momentum_too():
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with frozen_statistics(net):
        net(torch.randn(5, 3))
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)  # exact: left alone, not calculated
    norm = net[1]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.momentum == 0.1
