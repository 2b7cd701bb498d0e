"""Whole runs of GDT, CVRL and BraVe: in parts they give the same numbers, and they end in the table of every method."""

from pathlib import Path
from typing import Any

import pytest
import torch
from attempts import run_in_processes
from tiny_runs import (
    assert_same_weights,
    losses,
    metrics_text,
    run_tiny,
    weights,
)

METHODS: dict[str, dict[str, Any]] = {
    "gdt": {"GDT__HYPOTHESIS": "h9"},
    "cvrl": {"CVRL__HIDDEN_LAYERS": 1},
    "brave": {
        "BRAVE__BROAD_FRAMES": 4,
        "BRAVE__BROAD_FPS": 4.0,
        "BRAVE__BROAD_BLUR_KERNEL": 3,
        "BRAVE__PREDICTOR_DIM": 16,
        "SOLVER__OPTIMIZING_METHOD": "lars",
        "SOLVER__LARS_TRUST": 0.1,
    },
}
COMMON = {"HEAD__DROPOUT": 0.0, "POOL__NAME": "average", "DATA__BLUR_KERNEL": 3}
TABLE = {"TEST__ENABLE": True, "TEST__EVALUATIONS": ["retrieval", "knn"], "TEST__NUM_ENSEMBLE_VIEWS": 1}


@pytest.mark.parametrize("method", METHODS)
def test_in_parts_a_method_gives_the_uninterrupted_run_bit_for_bit_and_the_table(
    method: str, clips_folder: Path, tmp_path: Path
):
    settings = {"TASK": method, "DATA__MANIFEST": tmp_path / "manifest.csv"} | COMMON | METHODS[method]
    run_tiny(clips_folder, tmp_path / "straight", TRAIN__MAX_STEPS=3, **settings)
    torch.rand(1)  # nothing may depend on the global random state
    run_tiny(clips_folder, tmp_path / "parts", TRAIN__MAX_STEPS=2, **settings)
    found = run_tiny(clips_folder, tmp_path / "parts", TRAIN__MAX_STEPS=3, **settings, **TABLE)
    assert len(metrics_text(tmp_path / "straight").splitlines()) == 3
    # exact: the same code with the same shapes, interrupted or not
    assert metrics_text(tmp_path / "parts") == metrics_text(tmp_path / "straight")
    assert_same_weights(weights(tmp_path / "parts"), weights(tmp_path / "straight"))
    assert {f"{score}{who}" for score in ("retrieval/R@1", "knn/top1") for who in ("", "/random_init")} <= found.keys()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_give_the_losses_of_one(method: str, clips_folder: Path, tmp_path: Path):
    steps = {"TRAIN__MAX_STEPS": 3, "SOLVER__WARMUP_EPOCHS": 0, "SOLVER__BASE_LR": 1e-8}
    settings = {"TASK": method, **COMMON, **METHODS[method], **steps}
    run_in_processes(clips_folder, tmp_path / "two", **settings, CPU_PROCESSES=2)
    assert "process 1 of 2: " in (tmp_path / "two" / "stdout.log").read_text()
    run_tiny(clips_folder, tmp_path / "one", **settings)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=5e-4)
