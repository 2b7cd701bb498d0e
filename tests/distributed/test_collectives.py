from typing import Any

import torch
from torch import Tensor
from two_processes import LOCAL, contrast_job, global_rows

from stica_pv.distributed import all_sum, barrier, gather, is_main, mean_over_processes, rank, world_size

Two = list[dict[str, Any]]


def test_one_process_is_the_first_and_only_one() -> None:
    assert (rank(), world_size(), is_main()) == (0, 1, True)
    barrier()


def test_one_process_exchanges_nothing() -> None:
    x = torch.randn(2, 3, 4, requires_grad=True)
    assert all_sum(x) is x
    assert torch.equal(mean_over_processes(x), x)  # exact: copied, not calculated
    assert not mean_over_processes(x).requires_grad
    assert gather({"x": x}, with_gradient=True)["x"] is x
    detached = gather({"x": x}, with_gradient=False)["x"]
    assert torch.equal(detached, x)  # exact: copied, not calculated
    assert not detached.requires_grad


def test_texts_travel_as_bytes_and_are_never_unpickled(two: Two) -> None:
    first, second = (result["texts"] for result in two)
    assert first["from main"] == second["from main"] == ["main says \udcff", ""]
    assert first["to main"] == [["long\n", "long\n" * 4], ["", ""]]
    assert first["bytes"] == [b"", b"\x00"]
    assert second["to main"] == [[], []]


def test_sum_and_its_gradient_span_the_processes(two: Two) -> None:
    total = torch.tensor([3.0, 30.0], dtype=torch.float64)
    for result in two:
        assert torch.equal(result["sum"]["total"], total)  # exact: small whole numbers, which floats hold
        # d/dx of 1 s² + 2 s², the losses of both processes
        assert torch.equal(result["sum"]["grad"], 3 * 2 * total)  # exact: small whole numbers, which floats hold


def test_mean_spans_the_processes_and_leaves_its_input(two: Two) -> None:
    for number, result in enumerate(two):
        # exact: small whole numbers, which floats hold
        assert torch.equal(result["sum"]["mean"], torch.tensor([1.5, 15.0], dtype=torch.float64))
        # exact: small whole numbers, which floats hold
        assert torch.equal(result["sum"]["x"], torch.tensor([1.0, 10.0], dtype=torch.float64) * (number + 1))


def joined(two: Two, name: str) -> Tensor:
    return torch.cat([result["gather"]["local"][name] for result in two], dim=1)


def test_gather_joins_each_group_in_rank_order(two: Two) -> None:
    for result in two:
        for kind in ("plain", "joined"):
            for name in ("a", "b"):
                assert torch.equal(result["gather"][kind][name], joined(two, name))  # exact: copied, not calculated
        assert result["gather"]["integers"].flatten().tolist() == [1.0] * LOCAL + [2.0] * LOCAL


def test_gather_takes_one_collective_and_detaches_unless_asked(two: Two) -> None:
    for result in two:
        assert result["gather"]["calls"] == 1
        assert not any(rows.requires_grad for rows in result["gather"]["plain"].values())


def test_gradient_of_gathered_rows_is_summed_over_the_processes_that_used_them(two: Two) -> None:
    for result in two:
        local, grads = result["gather"]["local"], result["gather"]["grads"]
        assert torch.allclose(grads["a"], (1 + 2) * 3 * local["a"].square(), atol=1e-12)
        assert torch.allclose(grads["b"], torch.full_like(local["b"], 3.0), atol=1e-12)


def test_contrast_with_gradient_through_keys_equals_one_process_on_all_rows(two: Two) -> None:
    one = contrast_job(global_rows(), 0)
    assert torch.allclose(torch.stack([r["contrast"]["loss"] for r in two]).mean(), one["loss"], atol=1e-12)
    # Parallel training averages gradients over processes.
    averaged = torch.cat([result["contrast"]["grad"] for result in two]) / len(two)
    assert torch.allclose(averaged, one["grad"], atol=1e-12)
