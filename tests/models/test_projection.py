import copy
import math

import pytest
import torch
from torch import Tensor, nn

from stica_pv.models import GroupBatchNorm, ProjectionHead, create_projection_head

GROUPS, ROWS, FEATURES = 5, 4, 6


def twins() -> tuple[GroupBatchNorm, nn.BatchNorm1d]:
    """A group norm and a norm of torch in the same, not initial, state; float64."""
    torch.manual_seed(0)
    ours, theirs = GroupBatchNorm(FEATURES).double(), nn.BatchNorm1d(FEATURES).double()
    with torch.no_grad():
        for value in theirs.state_dict().values():
            value.copy_(torch.rand(value.shape) + 0.5 if value.is_floating_point() else torch.tensor(7))
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def rows(seed: int = 1) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    groups = torch.randn(GROUPS, ROWS, FEATURES, dtype=torch.float64, generator=rng)
    return groups * torch.arange(1, GROUPS + 1).view(-1, 1, 1) + 3


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), rtol=0, atol=1e-10)


def test_group_norm_equals_one_call_per_group_in_result_statistics_and_gradients() -> None:
    ours, theirs = twins()
    x, y = rows().requires_grad_(), rows().requires_grad_()
    upstream = torch.randn(GROUPS, ROWS, FEATURES, dtype=torch.float64)
    for _ in range(2):  # the second step begins with the statistics of the first
        a, b = ours(x), torch.stack([theirs(group) for group in y])
        assert close(a, b)
        (a * upstream).sum().backward()
        (b * upstream).sum().backward()
    assert close(x.grad, y.grad)
    assert close(ours.weight.grad, theirs.weight.grad)
    assert close(ours.bias.grad, theirs.bias.grad)
    assert close(ours.running_mean, theirs.running_mean)
    assert close(ours.running_var, theirs.running_var)
    assert int(ours.num_batches_tracked) == int(theirs.num_batches_tracked) == 7 + 2 * GROUPS


def test_groups_do_not_see_each_other() -> None:
    ours, _ = twins()
    x = rows()
    changed = x.clone()
    changed[2] += 100 * torch.randn(ROWS, FEATURES, dtype=torch.float64)
    before, after = ours(x), ours(changed)
    assert torch.equal(before[[0, 1, 3, 4]], after[[0, 1, 3, 4]])  # exact: the same code with the same shapes, twice
    assert not torch.allclose(before[2], after[2])


def test_group_norm_in_evaluation_equals_torch_and_tracks_nothing() -> None:
    ours, theirs = twins()
    state = copy.deepcopy(ours.state_dict())
    assert close(ours.eval()(rows()), torch.stack([theirs.eval()(group) for group in rows()]))
    assert ours(rows()[:, :1]).shape == (GROUPS, 1, FEATURES)
    # exact: left alone, not calculated
    assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())


def test_group_norm_has_the_layout_of_batch_norm() -> None:
    ours, theirs = GroupBatchNorm(FEATURES).state_dict(), nn.BatchNorm1d(FEATURES).state_dict()
    assert list(ours) == list(theirs)
    # exact: fresh layers, not calculated
    assert all(torch.equal(ours[name], theirs[name]) and ours[name].dtype == theirs[name].dtype for name in ours)


def test_group_norm_of_one_row_is_refused_in_training() -> None:
    with pytest.raises(ValueError, match="more than one row per group"):
        GroupBatchNorm(FEATURES)(torch.randn(GROUPS, 1, FEATURES))


def test_group_norm_of_half_precision_rows_computes_in_fp32() -> None:
    norm, x = GroupBatchNorm(FEATURES), rows().bfloat16()
    expected = copy.deepcopy(norm)(x.float())
    with torch.autocast("cpu", torch.bfloat16):
        ours = norm(x)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, expected)  # exact: the same code with the same shapes, twice


def test_head_equals_the_papers_layers_called_once_per_group() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(FEATURES, hidden_dim=8, out_dim=3, dropout=0.0).double()
    layers = nn.Sequential(
        nn.Dropout(0.0),
        nn.Linear(FEATURES, 8, bias=False),
        nn.BatchNorm1d(8),
        nn.ReLU(),
        nn.Dropout(0.0),
        nn.Linear(8, 3),
    ).double()
    layers[1].load_state_dict(head.linear1.state_dict())
    layers[2].load_state_dict(head.norm.state_dict())
    layers[5].load_state_dict(head.linear2.state_dict())
    assert close(head(rows()), torch.stack([layers(group) for group in rows()]))
    assert close(head.norm.running_var, layers[2].running_var)
    assert close(head.eval()(rows()), torch.stack([layers.eval()(group) for group in rows()]))


@pytest.mark.parametrize(("groups", "batch"), [(1, 2), (7, 3), (1, 1)])
def test_head_shapes(groups: int, batch: int) -> None:
    head = create_projection_head(in_dim=5, hidden_dim=7, out_dim=3)
    assert head.train(batch > 1)(torch.randn(groups, batch, 5)).shape == (groups, batch, 3)


def test_head_parameters_are_those_of_the_paper() -> None:
    with torch.device("meta"):
        head = ProjectionHead(512)
    assert {name: tuple(p.shape) for name, p in head.named_parameters()} == {
        "linear1.weight": (512, 512),
        "norm.weight": (512,),
        "norm.bias": (512,),
        "linear2.weight": (256, 512),
        "linear2.bias": (256,),
    }
    assert [module.p for module in head.modules() if isinstance(module, nn.Dropout)] == [0.3, 0.3]


def test_head_keeps_the_frameworks_start() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(100, hidden_dim=64, out_dim=50)
    for linear in (head.linear1, head.linear2):
        bound = 1 / math.sqrt(linear.in_features)
        assert 0.97 * bound < linear.weight.abs().max() <= bound


def test_dropout_differs_between_groups_and_ends_in_evaluation() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(16, hidden_dim=16, out_dim=4, dropout=0.5)
    x = torch.randn(1, 8, 16).expand(2, -1, -1)
    first, second = head(x)
    assert not torch.allclose(first, second)
    first, second = head.eval()(x)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-6)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    head = ProjectionHead(FEATURES, hidden_dim=8, out_dim=3).double()
    out = head(rows())
    (out * torch.randn_like(out)).sum().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_a_head_without_hidden_layer_is_a_bare_linear_layer() -> None:
    head = create_projection_head(in_dim=5, hidden_dim=0, out_dim=3, dropout=0.9).train()
    x = torch.randn(2, 4, 5)
    torch.testing.assert_close(head(x), torch.nn.functional.linear(x, head.weight, head.bias))
