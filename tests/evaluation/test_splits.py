import pytest
import torch

from stica_pv.errors import UsageError
from stica_pv.evaluation.splits import grouped_holdout


@pytest.mark.parametrize("seed", range(20))
def test_no_source_is_on_both_sides_and_no_item_is_lost(seed: int):
    rng = torch.Generator().manual_seed(seed)
    groups, labels = torch.randint(30, (150,), generator=rng), torch.randint(6, (150,), generator=rng)
    inner, held = grouped_holdout(labels, groups, share=0.3, seed=seed)
    assert not set(groups[inner].tolist()) & set(groups[held].tolist())
    assert torch.equal(torch.cat([inner, held]).sort().values, torch.arange(150))
    assert set(labels[inner].tolist()) == set(labels.tolist())


def test_about_the_share_of_each_class_is_held_out():
    labels, groups = torch.arange(400) % 4, torch.arange(400)
    for share in (0.1, 0.2, 0.5):
        _, held = grouped_holdout(labels, groups, share=share, seed=0)
        assert labels[held].bincount().tolist() == [100 * share] * 4


def test_the_last_source_of_a_class_is_never_held_out():
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1])
    groups = torch.tensor([0, 1, 2, 3, 9, 9, 9])
    for seed in range(10):
        _, held = grouped_holdout(labels, groups, share=0.5, seed=seed)
        assert labels[held].tolist() == [0, 0]


def test_the_split_follows_the_sources_not_the_item_order():
    labels, groups = torch.arange(90) // 3 % 5, torch.arange(90) // 3
    order = torch.randperm(90, generator=torch.Generator().manual_seed(1))
    _, held = grouped_holdout(labels, groups, seed=2)
    _, moved = grouped_holdout(labels[order], groups[order], seed=2)
    assert torch.equal(order[moved].sort().values, held)  # exact: integers
    assert not torch.equal(grouped_holdout(labels, groups, seed=3)[1], held)


def test_one_source_a_class_cannot_be_split():
    with pytest.raises(UsageError, match=r"nothing can be held out of 6 training items of 2 sources.*GROUP_PATTERN"):
        grouped_holdout(torch.tensor([0, 0, 0, 1, 1, 1]), torch.tensor([0, 0, 0, 1, 1, 1]))
