"""A GPU whose memory is full ends a run with one line that says what to set; tested without a GPU."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import run_tiny, tiny_cfg
from toy_task import ToyTask

from stica_pv.config import CfgNode
from stica_pv.engine.out_of_memory import fails_when_full, training_advice
from stica_pv.errors import RunFailed
from stica_pv.registry import TASKS
from stica_pv.structures import Batch, StepKeys
from stica_pv.workflows.run import check_run

CUDA_MESSAGE = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.02 GiB is free"
)
CUDA = f"{CUDA_MESSAGE}. Including non-PyTorch memory, this process has 78 GiB memory in use.\nSee documentation"
CPU = torch.device("cpu")


@TASKS.named("too_large_of_the_tests")
def too_large_from_config(cfg: CfgNode) -> ToyTask:
    """Does not fit into memory at the step RNG_SEED."""

    def fail(batch: Batch, keys: StepKeys) -> None:
        if keys.step == cfg.RNG_SEED:
            raise torch.OutOfMemoryError(CUDA)

    return ToyTask(TASKS.get("av_contrastive")(cfg).views(), watch=fail)


def test_a_training_that_does_not_fit_says_at_which_step_and_what_to_set(clips_folder: Path, tmp_path: Path):
    message = (
        f"step 1: the memory of the GPU is full ({CUDA_MESSAGE}) with TRAIN.BATCH_SIZE 4 (4 on each process): set "
    )
    with pytest.raises(RunFailed, match=f"^{re.escape(message)}.* or TRAIN.BATCH_SIZE below 4$") as failed:
        run_tiny(clips_folder, tmp_path / "run", TASK="too_large_of_the_tests", RNG_SEED=1)
    assert isinstance(failed.value.__cause__, torch.OutOfMemoryError)


def test_a_rehearsal_that_does_not_fit_says_the_same(clips_folder: Path, tmp_path: Path):
    cfg = tiny_cfg(clips_folder, tmp_path / "run", TASK="too_large_of_the_tests")
    with pytest.raises(RunFailed, match="^dry run: the memory of the GPU is full .* or TRAIN.BATCH_SIZE below 4$"):
        check_run(cfg, CPU)


@pytest.mark.parametrize(
    ("key", "overrides", "message"),
    [
        (
            "TRAIN",
            {},
            "TRAIN.MIXED_PRECISION True or MODEL.ACT_CHECKPOINT True or TRAIN.GRAD_CACHE_CHUNK below 4 or TRAIN.",
        ),
        ("TRAIN", {"TRAIN__MIXED_PRECISION": True, "MODEL__ACT_CHECKPOINT": True, "TRAIN__GRAD_CACHE_CHUNK": 2},
         "set TRAIN.GRAD_CACHE_CHUNK below 2 or TRAIN.BATCH_SIZE below 4"),
        ("TEST.FINETUNE", {}, "process): set TRAIN.MIXED_PRECISION True or TEST.FINETUNE.BATCH_SIZE below 4"),
    ],
)  # fmt: skip
def test_what_is_set_already_is_no_advice(tmp_path: Path, key: str, overrides: dict[str, Any], message: str):
    assert message in training_advice(tiny_cfg(tmp_path, tmp_path, **overrides), f"{key}.BATCH_SIZE")


def test_other_errors_pass_through():
    with pytest.raises(RuntimeError, match="^a bug$"), fails_when_full(lambda: "here", "nothing"):
        raise RuntimeError("a bug")
