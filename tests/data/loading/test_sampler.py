import itertools

import pytest

from stica_pv.data.loading.sampler import StepSampler
from stica_pv.errors import UsageError
from stica_pv.structures import SampleKey


def batches(length: int = 13, batch_size: int = 4, **settings: int) -> list[list[SampleKey]]:
    settings.setdefault("end", 9)
    return list(StepSampler(length, batch_size=batch_size, **{"seed": 5, **settings}))


def test_an_epoch_shows_no_video_twice_and_leaves_the_incomplete_batch_out():
    sampler = StepSampler(13, batch_size=4, seed=5, end=3)
    shown = [key.index for batch in sampler for key in batch]
    assert sampler.steps_per_epoch == 3
    assert len(set(shown)) == len(shown) == 12
    assert set(shown) <= set(range(13))


def test_an_epoch_that_divides_shows_every_video_once():
    shown = [key.index for batch in batches(12, 4, end=3) for key in batch]
    assert sorted(shown) == list(range(12))


def test_over_many_epochs_every_video_is_shown():
    assert {key.index for batch in batches(end=30) for key in batch} == set(range(13))


def test_epochs_differ_in_order_and_carry_their_number():
    epochs = [list(group) for _, group in itertools.groupby(batches(), key=lambda batch: batch[0].epoch)]
    assert [batch[0].epoch for epoch in epochs for batch in epoch] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    orders = [tuple(key.index for batch in epoch for key in batch) for epoch in epochs]
    assert len(set(orders)) == 3


def test_the_order_is_that_of_the_seed():
    assert batches() == batches()
    assert batches() != batches(seed=6)


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_out_the_batch_of_a_single_one(world_size: int):
    parts = [batches(world_size=world_size, rank=rank) for rank in range(world_size)]
    joined = [[key for part in parts for key in part[step]] for step in range(9)]
    assert joined == batches()


@pytest.mark.parametrize("start", range(1, 10))
def test_a_resume_from_any_step_yields_the_rest(start: int):
    assert batches(start=start) == batches()[start:]


def test_the_loop_and_the_loader_get_the_same_batches():
    sampler = StepSampler(13, batch_size=4, seed=5, start=2, end=9, rank=1, world_size=2)
    announced = [[SampleKey(sampler.epoch_of(s), i) for i in sampler.local_indices(s)] for s in range(2, 9)]
    assert announced == list(sampler)


def test_asking_for_other_steps_in_between_changes_nothing():
    sampler = StepSampler(13, batch_size=4, seed=5, end=9)
    received = []
    for keys in sampler:  # the loader runs ahead of the loop, into the next epoch
        sampler.local_indices(0)
        received.append(keys)
    assert received == batches()


def test_at_the_border_of_two_epochs_each_order_is_drawn_once(monkeypatch: pytest.MonkeyPatch):
    drawn, original = [], StepSampler._order
    monkeypatch.setattr(StepSampler, "_order", lambda self, epoch: drawn.append(epoch) or original(self, epoch))
    sampler = StepSampler(13, batch_size=4, seed=5, end=9)
    for step, _ in enumerate(sampler):  # the loader, two steps ahead of the loop
        sampler.local_indices(max(0, step - 2))
    assert drawn == [0, 1, 2]


def test_length_counts_the_steps_left():
    assert len(StepSampler(13, batch_size=4, seed=0, start=2, end=9)) == 7
    assert len(StepSampler(13, batch_size=4, seed=0, start=9, end=4)) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 3}, "BATCH_SIZE 4 is larger than the 3 usable videos"),
        ({"batch_size": 6, "world_size": 4}, "6 .* is not divisible by 4 processes: try 4"),
        ({"batch_size": 2, "world_size": 4}, "2 .* is not divisible by 4 processes: try 4"),
        ({"batch_size": 0}, "must be >= 1"),
    ],
)
def test_an_impossible_batch_is_refused_with_its_numbers(settings: dict[str, int], message: str):
    with pytest.raises(UsageError, match=message):
        batches(**settings)
