"""A step of STiCA with dropped tokens: exact under gradient caching, equal for equal keys, none in evaluation."""

import torch
from tiny_vit import INDICES, batch_of, vit_task

from stica_pv.engine.gradient_cache import CachedModel, Embedder
from stica_pv.structures import StepKeys


def test_gradients_in_chunks_equal_those_of_the_whole_batch_and_keys_decide_the_positions() -> None:
    task, cached = vit_task(), vit_task()
    keys = StepKeys(0, 0, 0, INDICES)
    params = task.sample_params(keys)
    assert [tuple(kept.shape) for kept in params.kept] == [(4, 8), (4, 8)]
    again = task.sample_params(StepKeys(0, 9, 0, INDICES[2:]))  # another step and batch, the same samples
    for kept, other in zip(params.kept, again.kept, strict=True):
        torch.testing.assert_close(kept[2:], other)
    assert (params.kept[0] != params.kept[1]).any()
    assert (task.sample_params(StepKeys(0, 0, 1, INDICES)).kept[0] != params.kept[0]).any()
    task(batch_of(INDICES), params).total.backward()
    model = CachedModel(cached, Embedder(cached), chunk=2)
    model(batch_of(INDICES), params).total.backward()
    model.finish()
    for (name, p), q in zip(task.named_parameters(), cached.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=1e-11, msg=name)


def test_encoders_compute_every_token() -> None:
    task = vit_task().float().eval()
    with torch.no_grad():
        found = task.encoders()["video"](batch_of(INDICES).video["view1"], "map")
    assert (found.abs().sum(1) > 0).all()
