"""Weights divided over two processes: the numbers of DistributedDataParallel, the checkpoints of an undivided run."""

from typing import Any

import pytest
import torch
from sharded import CLIP, OPTIMIZERS

from stica_pv.config import apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.engine.config import check_solver
from stica_pv.errors import UsageError

TOLERANCE = {"rtol": 1e-9, "atol": 1e-11}  # float64; sums of two processes in another order
Found = list[dict[str, Any]]


@pytest.fixture
def found(two: list[dict[str, Any]]) -> Found:
    return [result["sharding"] for result in two]


@pytest.mark.parametrize("method", OPTIMIZERS)
def test_steps_equal_those_of_data_parallel_training(found: Found, method: str) -> None:
    for result in found:
        whole, divided = result[method]["whole"], result[method]["divided"]
        for step in range(3):
            for name, value in whole["steps"][step].items():
                torch.testing.assert_close(divided["steps"][step][name], value, **TOLERANCE, msg=name)
        assert whole["steps"][0]["grad_norm"] > CLIP
        for name, value in whole["weights"].items():
            torch.testing.assert_close(divided["weights"][name], value, **TOLERANCE, msg=name)
        assert whole["local share"] == 1
    shares = [result[method]["divided"]["local share"] for result in found]
    assert sum(shares) == pytest.approx(1)
    assert max(shares) < 0.6


@pytest.mark.parametrize("method", OPTIMIZERS)
def test_checkpoints_have_the_format_of_an_undivided_run_and_resume_exactly(found: Found, method: str) -> None:
    whole, divided = (found[0][method][kind]["checkpoint"] for kind in ("whole", "divided"))
    assert whole["model"].keys() == divided["model"].keys()
    for name, value in whole["model"].items():
        assert type(divided["model"][name]) is torch.Tensor
        torch.testing.assert_close(divided["model"][name], value, **TOLERANCE, msg=name)
    assert whole["optimizer"]["state"].keys() == divided["optimizer"]["state"].keys()
    for number, kept in whole["optimizer"]["state"].items():
        for name, value in kept.items():
            torch.testing.assert_close(divided["optimizer"]["state"][number][name], value, **TOLERANCE, msg=name)
    for result in found:
        run_divided = result[method]["divided"]
        for name, value in run_divided["weights"].items():
            # exact: the same code on the same numbers, before and after a checkpoint
            torch.testing.assert_close(run_divided["resumed weights"][name], value, rtol=0, atol=0, msg=name)


def test_a_weight_that_is_not_finite_on_one_process_ends_all(found: Found) -> None:
    first, second = (result["not finite"] for result in found)
    assert first == second
    assert "weight tensors are not finite after step 7" in first


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["TRAIN.GRAD_CACHE_CHUNK", "2", "TRAIN.COMPILE", "True"], "TRAIN.GRAD_CACHE_CHUNK, TRAIN.COMPILE"),
        (["SOLVER.OPTIMIZING_METHOD", "lars"], "SOLVER.OPTIMIZING_METHOD lars"),
        (["TRAIN.MIXED_PRECISION", "True", "TRAIN.AMP_DTYPE", "fp16"], "TRAIN.AMP_DTYPE fp16"),
        (["TEST.ONLINE_KNN_EPOCHS", "1", "SOLVER.FUSED", "True"], "SOLVER.FUSED, TEST.ONLINE_KNN_EPOCHS"),
    ],
)
def test_what_it_is_not_known_to_work_with_is_refused(overrides: list[str], named: str) -> None:
    cfg = get_cfg()
    apply_overrides(cfg, ["TRAIN.SHARD_PARAMETERS", "True", *overrides])
    with pytest.raises(UsageError, match=f"^TRAIN.SHARD_PARAMETERS cannot be combined with {named}; remove one"):
        check_solver(cfg, [], torch.device("cpu"))
