import time

import pytest
import torch
from torch import Tensor

from stica_pv.evaluation.metrics import Metric, bootstrap_interval, mean_metric, pooled
from stica_pv.keyed_random import generator


def values(count: int, seed: int = 0) -> Tensor:
    return 100 * torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_interval(per_item: Tensor, groups: Tensor, *, seed: int, draws: int) -> tuple[float, float]:
    """Written out: draw groups, put their items one behind the other, take the mean."""
    names = sorted(set(groups.tolist()))
    rng = generator("bootstrap", seed)
    means = []
    for row in torch.randint(len(names), (draws, len(names)), generator=rng):
        items = [
            value for i in row.tolist() for value, group in zip(per_item, groups, strict=True) if group == names[i]
        ]
        means.append(torch.stack(items).mean())
    low, high = torch.stack(means).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def test_the_value_counts_every_item_once():
    assert mean_metric("top1", torch.tensor([100.0, 0.0, 0.0, 100.0, 50.0])).value == 50.0


def test_the_interval_is_that_of_drawing_whole_groups():
    per_item, groups = values(23), torch.tensor([7, 7, 7, 3, 3, 9, 1, 1, 1, 1, 1, 4, 4, 4, 8, 0, 0, 5, 5, 5, 5, 2, 6])
    found = bootstrap_interval(mean_metric("top1", per_item), groups, seed=3, draws=50)
    assert found == pytest.approx(slow_interval(per_item, groups, seed=3, draws=50))


def test_siblings_that_rise_and_fall_together_widen_the_interval():
    groups = torch.arange(20).repeat_interleave(10)
    metric = mean_metric("top1", values(20)[groups])
    low, high = bootstrap_interval(metric, groups, seed=0)
    single_low, single_high = bootstrap_interval(metric, torch.arange(200), seed=0)
    assert (high - low) > 2.5 * (single_high - single_low)
    assert low < metric.value < high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        found = bootstrap_interval(mean_metric("top1", values(60, seed)), torch.arange(60), seed=seed, draws=300)
        covered += found[0] <= 50.0 <= found[1]
    assert 0.89 <= covered / 200 <= 0.99


def test_the_interval_does_not_depend_on_chunks_or_item_order(monkeypatch: pytest.MonkeyPatch):
    per_item, groups = values(40), torch.arange(40) // 3
    expected = bootstrap_interval(mean_metric("a", per_item), groups, seed=1, draws=100)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(5))
    moved = bootstrap_interval(mean_metric("b", per_item[order]), groups[order], seed=1, draws=100)
    assert moved == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr("stica_pv.evaluation.metrics.CHUNK_ELEMENTS", 400)
    chunked = bootstrap_interval(mean_metric("a", per_item), groups, seed=1, draws=100)
    assert chunked == pytest.approx(expected, rel=1e-12)  # sums in another order: the last bits may differ


def test_another_seed_gives_another_interval_and_the_same_seed_the_same():
    metric, groups = mean_metric("a", values(40)), torch.arange(40)
    first, again, other = (bootstrap_interval(metric, groups, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_folds_count_alike_whatever_their_size():
    folds = [mean_metric("top1", torch.tensor([100.0, 100.0, 0.0, 0.0])), mean_metric("top1", torch.tensor([0.0]))]
    joined = pooled(folds)
    assert joined.items == 5
    assert joined.value == 25.0
    weights = torch.tensor([[1.0, 1, 1, 1, 0], [2.0, 0, 0, 0, 3]], dtype=torch.float64)
    assert joined.statistic(weights).tolist() == [50.0, 50.0]  # the first draw leaves the second fold empty


def test_an_interval_of_any_statistic_takes_weights():
    metric = Metric("largest", lambda weights: (weights * torch.arange(5.0)).amax(dim=1), 5)
    low, high = bootstrap_interval(metric, torch.arange(5), seed=0, draws=200)
    assert 0 <= low < high <= 12


@pytest.mark.slow
def test_a_thousand_draws_of_twenty_thousand_items_take_about_a_second():
    begin = time.process_time()
    bootstrap_interval(mean_metric("top1", values(20000)), torch.arange(20000), seed=0)
    assert time.process_time() - begin < 5
