"""Whole steps at full size on the meta device, which has shapes and no numbers.

What a GPU would wait for raises here: ``.item()``, ``nonzero``, a copy to the CPU, and any mixing of devices.
"""

from pathlib import Path

import pytest
import torch
from slow_stica import keys_of

from stica_pv.config import CfgNode, merge_file
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import create_task
from stica_pv.structures import Batch, Views

PROJECTS = Path(__file__).resolve().parents[2] / "projects"
META = torch.device("meta")
INDICES = (3, 5, 8, 9)
SAME_NETWORKS = {f"gdt/h{number}.yaml" for number in range(2, 9)}  # h1 and h9 are their first and last
READS_NUMBERS = ("mvit_b",)  # pytorchvideo's MViT reads numbers while it is built
NAMES = sorted({str(path.relative_to(PROJECTS)) for path in PROJECTS.glob("*/*.yaml")} - SAME_NETWORKS)
ORDINARY = ("stica/k400.yaml", "gdt/h9.yaml", "cvrl/k400_r3d50.yaml", "brave/v_a_tsm50.yaml")


def recipe(name: str) -> CfgNode:
    cfg = get_cfg()
    merge_file(cfg, PROJECTS / name)
    return cfg


def batch_without_numbers(views: Views, size: int) -> Batch:
    """Returns a batch of the shapes that the loader would give."""
    windows = views.sample_windows(10.0, torch.Generator().manual_seed(0))
    with META:
        video = {
            spec.name: torch.empty(size, 2 if spec.flow else 3, spec.frames, spec.size, spec.size, dtype=torch.uint8)
            for spec in views.specs
            if spec.frames
        }
        audio = {
            spec.name: torch.empty(size, round(windows[spec.window].seconds * spec.audio.sample_rate_hz))
            for spec in views.specs
            if spec.audio is not None
        }
        return Batch(video, audio, {name: torch.empty(size) for name in audio}, torch.empty(size, dtype=torch.int64))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ORDINARY else pytest.mark.slow) for name in NAMES]
)
def test_a_step_at_full_size_reads_no_number_from_its_device(name: str) -> None:
    with torch.device("cpu" if Path(name).stem in READS_NUMBERS else "meta"):
        task = create_task(recipe(name)).to(META).train()
    batch = batch_without_numbers(task.views(), len(INDICES))
    params = task.sample_params(keys_of(indices=INDICES)).to(META)
    rows = task.embed(task.prepare(batch, params), params)
    total = task.loss(rows, rows, rank_offset=0).total
    total.backward()
    assert total.device == META
    assert all(p.grad is not None for p in task.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    "code", [torch.Tensor.item, torch.Tensor.cpu, torch.Tensor.nonzero, lambda x: x + torch.ones(2)]
)
def test_what_a_gpu_would_wait_for_raises_on_this_device(code) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        code(torch.empty(2, device=META)[:1] if code is torch.Tensor.item else torch.empty(2, device=META))
