"""The configurations of projects/: each builds its full-size networks; one of each method takes a step."""

from pathlib import Path

import pytest
import torch
from made_batches import noise_batch
from slow_stica import keys_of

from stica_pv.config import CfgNode, flatten, merge_file
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import create_task
from stica_pv.engine.config import optimizer_from_config
from stica_pv.engine.optimizer import set_lr

PROJECTS = Path(__file__).resolve().parents[2] / "projects"
ALIKE = {f"gdt/h{number}.yaml" for number in range(2, 9)}  # of h1 and h9 but for the hypothesis, as a test below says
RECIPES = sorted({str(path.relative_to(PROJECTS)) for path in PROJECTS.glob("*/*.yaml")} - ALIKE)
# Trunks of other libraries, which test_every_backbone.py builds as well, and networks that another recipe has.
SLOW = ("slow", "mvit", "swin", "csn", "x3d", "v_v_", "v_va_", "k600", "k400_30f")
SMALL = {"DATA": {"NUM_FRAMES": 8, "TRAIN_CROP_SIZE": 32}, "BRAVE": {"BROAD_FRAMES": 8, "BROAD_CROP_SIZE": 32}}

PARAMETERS = {
    "cvrl/k400_r3d50.yaml": 31_672_128 + 12_863_616,  # R3D-50, and the head of three layers
    "brave/v_a_tsm50.yaml": 23_500_352 + 23_494_080,
    "brave/v_af_tsm50.yaml": 2 * 23_500_352 - 7 * 7 * 64 + 23_494_080,
    "brave/v_vvv_tsm50.yaml": 2 * 23_500_352,
    "brave/k400_simsiam.yaml": 31_672_128,
    "gdt/h9.yaml": 31_300_125,
}
"""Of the networks that are published; heads of BraVe and GDT, and GDT's audio tower come on top."""


def recipe(name: str) -> CfgNode:
    cfg = get_cfg()
    merge_file(cfg, PROJECTS / name)
    return cfg


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name.split("/")[1].startswith(SLOW) else ()) for name in RECIPES],
)
def test_every_recipe_builds_at_full_size(name: str) -> None:
    cfg = recipe(name)
    with torch.device("cpu" if "mvit" in name else "meta"):  # MViT reads numbers while it is built
        task = create_task(cfg)
    views = task.views()
    assert views.sample_windows(10.0, torch.Generator()).keys() == {spec.window for spec in views.specs}
    grouped = [id(p) for group in task.parameter_groups() for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in task.parameters() if p.requires_grad)
    optimizer_from_config(cfg, task.parameter_groups())
    assert "video" in task.encoders()
    if name in PARAMETERS:
        heads = ("heads", "video_head", "audio_head") + (("audio_tower",) if "gdt" in name else ())
        counted = sum(p.numel() for part, net in task.named_children() if part not in heads for p in net.parameters())
        assert counted == PARAMETERS[name]


def test_the_hypotheses_of_gdt_differ_in_nothing_else() -> None:
    plain = recipe("gdt/h1.yaml")
    for number in range(2, 10):
        other = recipe(f"gdt/h{number}.yaml")
        hypothesis, other.GDT.HYPOTHESIS = other.GDT.HYPOTHESIS, "h1"
        assert (hypothesis, other) == (f"h{number}", plain)


def test_the_fast_recipe_differs_in_speed_alone() -> None:
    plain = dict(flatten(recipe("stica/k400.yaml")))
    differing = {key: value for key, value in flatten(recipe("stica/k400_fast.yaml")) if value != plain[key]}
    assert differing == {"TRAIN.MIXED_PRECISION": True, "TRAIN.COMPILE": True, "SOLVER.FUSED": True}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stica/k400.yaml", "gdt/h9.yaml", "cvrl/k400_r3d50.yaml", "brave/v_af_tsm50.yaml"])
def test_a_full_size_recipe_takes_a_step_at_a_small_input(name: str) -> None:
    cfg = recipe(name)
    for part, values in SMALL.items():
        cfg[part].update(values)
    task = create_task(cfg).train()
    optimizer = optimizer_from_config(cfg, task.parameter_groups())
    batch = noise_batch(task.views(), (4, 7))
    before = {key: p.detach().clone() for key, p in task.named_parameters()}
    task(batch, task.sample_params(keys_of(indices=(4, 7)))).total.backward()
    set_lr(optimizer, 0.1)
    optimizer.step()
    # exact: left alone, not calculated
    still = [key for key, p in task.named_parameters() if torch.equal(p, before[key]) and p.grad.abs().sum() > 0]
    assert still == []
    assert all(torch.isfinite(p).all() for p in task.parameters())
