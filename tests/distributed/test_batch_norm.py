import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from two_processes import CPU, NORM_KINDS, NORM_SHAPES, group_input, group_norm, norm_input, norm_job, scrambled_norm

from stica_pv.distributed import CrossProcessBatchNorm, global_moments, synchronize_batch_norm

Two = list[dict[str, Any]]


def torch_norm(shape: str, kind: str) -> nn.Module:
    norm = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 5: nn.BatchNorm3d}[len(NORM_SHAPES[shape])]
    return scrambled_norm(norm(NORM_SHAPES[shape][1], **NORM_KINDS[kind]))


def close(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.allclose(a, b, rtol=0, atol=1e-10)


def assert_equal_to_one_process(parts: list[dict[str, Any]], one: dict[str, Any], dim: int = 0) -> None:
    """Results and input gradients are parts of one's; parameter gradients add up to one's; statistics are one's."""
    assert close(torch.cat([part["y"] for part in parts], dim), one["y"])
    assert close(torch.cat([part["grad"] for part in parts], dim), one["grad"])
    for name, gradient in one["parameters"].items():
        assert close(sum(part["parameters"][name] for part in parts), gradient), name
    for part in parts:
        assert part["state"].keys() == one["state"].keys()
        for name, value in one["state"].items():
            assert close(part["state"][name], value), name


@pytest.mark.parametrize("kind", NORM_KINDS)
@pytest.mark.parametrize("shape", NORM_SHAPES)
def test_norm_over_two_processes_equals_torchs_on_the_global_batch(two: Two, shape: str, kind: str) -> None:
    one = norm_job(torch_norm(shape, kind), *norm_input(shape))
    assert_equal_to_one_process([result["norm"][shape, kind] for result in two], one)


def test_norm_over_two_processes_takes_clips_with_channels_last(two: Two) -> None:
    one = norm_job(torch_norm("5d", "usual"), *norm_input("5d"))
    assert_equal_to_one_process([result["channels last"] for result in two], one)
    assert all(result["channels last"]["y"].is_contiguous(memory_format=torch.channels_last_3d) for result in two)


def test_group_norm_over_two_processes_equals_one_on_the_global_batch(two: Two) -> None:
    one = norm_job(group_norm(True), *group_input())
    assert_equal_to_one_process([result["group"][True] for result in two], one, dim=1)


def test_group_norm_without_synchronising_sees_its_own_process_alone(two: Two) -> None:
    x, upstream = group_input()
    for number, result in enumerate(two):
        here = slice(3 * number, 3 * number + 3)
        alone = norm_job(group_norm(False), x[:, here], upstream[:, here])
        assert_equal_to_one_process([result["group"][False]], alone)


def test_half_precision_input_keeps_its_type_and_is_averaged_in_fp32(two: Two) -> None:
    x, upstream = (value.bfloat16() for value in norm_input("3d"))
    exact = norm_job(torch_norm("3d", "usual"), x.double(), upstream.double())
    for result in two:
        assert result["half"]["y"].dtype == torch.bfloat16
        assert result["half"]["grad"].dtype == torch.bfloat16
        for name in ("running_mean", "running_var"):
            assert torch.allclose(result["half"]["state"][name].double(), exact["state"][name], rtol=1e-5)


@pytest.mark.parametrize("kind", NORM_KINDS)
@pytest.mark.parametrize("shape", NORM_SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_one_process_gives_what_torch_gives(shape: str, kind: str, training: bool) -> None:
    theirs = torch_norm(shape, kind).train(training)
    (ours,) = synchronize_batch_norm(nn.Sequential(copy.deepcopy(theirs)), CPU)
    a, b = (norm_job(norm, *norm_input(shape)) for norm in (ours, theirs))
    assert_equal_to_one_process([a], b)


def test_synchronising_replaces_every_norm_and_keeps_its_tensors_and_mode() -> None:
    net = nn.Sequential(
        nn.Conv3d(3, 4, 1),
        nn.BatchNorm3d(4, eps=1e-3, momentum=0.2),
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4).double()),
        nn.BatchNorm1d(4).eval().requires_grad_(False),
    )
    before = {name: value for name, value in net.state_dict(keep_vars=True).items()}
    assert synchronize_batch_norm(net, CPU) is net
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert [type(norm) for norm in norms] == [CrossProcessBatchNorm] * 3
    assert [norm.training for norm in norms] == [True, True, False]
    assert (norms[0].eps, norms[0].momentum) == (1e-3, 0.2)
    after = net.state_dict(keep_vars=True)
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)


def test_synchronising_twice_changes_nothing() -> None:
    net = synchronize_batch_norm(nn.Sequential(nn.BatchNorm1d(4)), CPU)
    norm = net[0]
    assert synchronize_batch_norm(net, CPU)[0] is norm


def test_synchronised_net_keeps_its_state_dict() -> None:
    net, twin = (nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)) for _ in range(2))
    synchronize_batch_norm(net, CPU).load_state_dict(twin.state_dict(), strict=True)
    # exact: copied, not calculated
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in net.state_dict().items())


def test_gpu_gets_pytorchs_own_norm() -> None:
    net = synchronize_batch_norm(nn.Sequential(nn.BatchNorm1d(4)), torch.device("cuda"))
    assert type(net[0]) is nn.SyncBatchNorm


def test_input_without_channels_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(B, C, …\), got \(4,\)"):
        CrossProcessBatchNorm(4)(torch.randn(4))


@pytest.mark.parametrize("synchronize", [True, False])
def test_moments_of_one_process(synchronize: bool) -> None:
    x = torch.randn(4, 3, 5, dtype=torch.float64)
    mean, variance, count = global_moments(x, (0, 2), synchronize=synchronize)
    assert mean.shape == variance.shape == (1, 3, 1)
    assert count == 20
    for channel in range(3):
        values = x[:, channel].flatten().tolist()
        average = sum(values) / 20
        assert mean[0, channel, 0].item() == pytest.approx(average)
        assert variance[0, channel, 0].item() == pytest.approx(sum((v - average) ** 2 for v in values) / 20)
