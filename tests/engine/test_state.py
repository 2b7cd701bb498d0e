from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from made_batches import noise_batch
from tiny_runs import tiny_cfg
from torch import nn

from stica_pv.engine.build_task import create_task
from stica_pv.engine.state import create_state
from stica_pv.structures import StepKeys

INDICES = (3, 8)
METHODS: dict[str, dict[str, Any]] = {
    "av_contrastive": {},
    "gdt": {"GDT__HYPOTHESIS": "h2", "POOL__NAME": "average"},
    "cvrl": {"HEAD__DROPOUT": 0.0, "POOL__NAME": "average"},
    "brave": {
        **{
            "HEAD__DROPOUT": 0.0,
            "POOL__NAME": "average",
            "BRAVE__BROAD": ["video", "audio"],
            "BRAVE__PREDICTOR_DIM": 8,
        },
        **{"BRAVE__BROAD_FRAMES": 4, "BRAVE__BROAD_FPS": 4.0, "BRAVE__BROAD_CROP_SIZE": 32},
    },
}

NEVER_CALLED_AS_A_WHOLE = {"av_contrastive": ["TransformerPool"]}  # it pools the tokens of crops


@pytest.mark.parametrize("method", METHODS)
def test_every_parameter_is_in_a_compiled_network_that_a_step_calls(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self: compiled.append(self))  # code generation takes minutes
    cfg = tiny_cfg(tmp_path, tmp_path, TASK=method, TRAIN__COMPILE=True, **METHODS[method])
    task = create_task(cfg)
    create_state(cfg, task, torch.device("cpu"))
    inside = [id(p) for network in compiled for p in network.parameters()]
    assert sorted(inside) == sorted(id(p) for p in task.parameters())
    called: set[nn.Module] = set()
    for network in compiled:
        network.register_forward_pre_hook(lambda module, _: called.add(module))
    batch = noise_batch(task.views(), INDICES)
    task(batch, task.sample_params(StepKeys(seed=0, step=1, epoch=0, indices=INDICES)))
    silent = [type(network).__name__ for network in compiled if network not in called]
    assert silent == NEVER_CALLED_AS_A_WHOLE.get(method, [])


@pytest.mark.parametrize(("method", "chunk"), [*((method, 0) for method in METHODS), ("brave", 2)])
def test_the_loss_of_half_precision_networks_is_computed_in_full(method: str, chunk: int, tmp_path: Path) -> None:
    cfg = tiny_cfg(tmp_path, tmp_path, TASK=method, TRAIN__GRAD_CACHE_CHUNK=chunk, **METHODS[method])
    task = create_task(cfg)
    state = create_state(cfg, task, torch.device("cpu"))
    params = task.sample_params(StepKeys(seed=0, step=1, epoch=0, indices=INDICES))
    with torch.no_grad() if not chunk else nullcontext(), torch.autocast("cpu", torch.bfloat16):
        terms = state.model(noise_batch(task.views(), INDICES), params)
    assert {name: value.dtype for name, value in {**terms.scalars, "total": terms.total}.items()} == dict.fromkeys(
        [*terms.scalars, "total"], torch.float32
    )
