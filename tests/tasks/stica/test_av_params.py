from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from slow_stica import INDICES, keys_of
from tiny_task import tiny_batch, tiny_task
from torch import Tensor

from stica_pv.tasks import CropSettings


def tensors_of(value: Any) -> list[Tensor]:
    """All tensors of nested dataclasses and tuples."""
    if isinstance(value, Tensor):
        return [value]
    parts = [getattr(value, f.name) for f in fields(value)] if is_dataclass(value) else value
    return [tensor for part in parts or () for tensor in tensors_of(part)]


def equal(a: Any, b: Any) -> bool:
    # exact: equal generators give equal values
    return all(torch.equal(x, y) for x, y in zip(tensors_of(a), tensors_of(b), strict=True))


def test_plan_is_a_function_of_the_keys_alone() -> None:
    task, other = tiny_task(seed=0), tiny_task(seed=1)
    first = task.sample_params(keys_of())
    torch.manual_seed(123)
    state = torch.get_rng_state()
    for step in (9, 1, 4):
        other.sample_params(keys_of(step=step))
    assert equal(other.sample_params(keys_of()), first)  # exact: equal generators give equal values
    # exact: left alone, not calculated
    assert torch.equal(torch.get_rng_state(), state)  # nothing comes from, or goes to, the carried generator
    assert not equal(task.sample_params(keys_of(seed=8)), first)


def test_crops_are_the_same_for_all_samples_and_ranks_and_new_at_each_step() -> None:
    task = tiny_task()
    here, there = (
        task.sample_params(keys_of(indices=INDICES[:3])),
        task.sample_params(keys_of(indices=INDICES[3:], epoch=2)),
    )
    assert equal(here.crops, there.crops)  # exact: equal generators give equal values
    assert here.crops[0].space.ndim == 2
    assert not equal(here.crops, task.sample_params(keys_of(step=4, indices=INDICES[:3])).crops)
    assert not equal(here.crops[0], here.crops[1])


def test_crops_of_each_samples_own_differ_and_belong_to_the_sample() -> None:
    task = tiny_task(crops=CropSettings(2, 4, 2, 1, per_sample=True))
    params = task.sample_params(keys_of())
    for crop in params.crops:
        assert crop.space.shape[0] == crop.time.shape[0] == len(INDICES)
        assert len({tuple(own.flatten().tolist()) for own in crop.space}) == len(INDICES)
    turned = task.sample_params(keys_of(step=99, indices=INDICES[::-1]))
    for a, b in zip(params.crops, turned.crops, strict=True):
        assert torch.equal(a.space, b.space.flip(0))  # exact: equal generators give equal values
        assert torch.equal(a.time, b.time.flip(0))  # exact: equal generators give equal values
    assert not equal(params.crops, task.sample_params(keys_of(epoch=2)).crops)
    assert task(tiny_batch(INDICES), params).total.isfinite()


@pytest.mark.parametrize("indices", [INDICES[::-1], INDICES[2:4]])
def test_color_and_volume_belong_to_the_sample_and_epoch(indices: tuple[int, ...]) -> None:
    task = tiny_task()
    params, other = task.sample_params(keys_of()), task.sample_params(keys_of(step=50, indices=indices))
    rows = [INDICES.index(index) for index in indices]
    assert torch.equal(params.volume[rows], other.volume)  # exact: equal generators give equal values
    for mine, theirs in zip(params.color, other.color, strict=True):
        for name in ("order", "factors", "gray", "sigma"):
            # exact: equal generators give equal values
            assert torch.equal(getattr(mine, name)[rows], getattr(theirs, name))
    assert not torch.equal(params.volume, task.sample_params(keys_of(epoch=2)).volume)
    assert not torch.equal(params.color[0].factors, params.color[1].factors)


def test_plan_moves_to_a_device_as_a_whole() -> None:
    params = tiny_task().sample_params(keys_of())
    assert all(tensor.is_meta for tensor in tensors_of(params.to(torch.device("meta"))))
