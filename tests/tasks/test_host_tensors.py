import pytest
import torch
from host_tensors import NoHostTensors
from made_batches import noise_batch
from slow_stica import keys_of
from tiny_runs import REPOSITORY

from stica_pv.config import apply_overrides, merge_file
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import create_task
from stica_pv.transforms import color as color

INDICES = (3, 5, 8, 9)


@pytest.mark.parametrize(
    "recipe", ["stica/demo.yaml", "stica/ucf6_vit.yaml", "gdt/demo.yaml", "cvrl/demo.yaml", "brave/demo.yaml"]
)
def test_a_step_copies_no_number_of_python_to_the_device(recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(color, "_on_processor", color._on_device)
    cfg = get_cfg()
    merge_file(cfg, REPOSITORY / "projects" / recipe)
    apply_overrides(cfg, ["MODEL.WIDTH", "4"])
    task = create_task(cfg)
    params, batch = (
        task.sample_params(keys_of(indices=INDICES)).to(torch.device("cpu")),
        noise_batch(task.views(), INDICES),
    )
    with NoHostTensors():
        rows = task.embed(task.prepare(batch, params), params)
        task.loss(rows, rows, rank_offset=0).total.backward()
