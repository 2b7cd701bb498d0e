"""The full-size configurations of BraVe."""

from pathlib import Path

import pytest
import torch
from slow_stica import keys_of

from stica_pv.config import merge_file
from stica_pv.create import create_task
from stica_pv.defaults import get_cfg
from stica_pv.engine.config import optimizer_from_config
from stica_pv.engine.optimizer import set_lr
from stica_pv.structures import Batch

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["v_a_tsm50", "v_va_tsm50", "v_v_tsm50"])
def test_full_size_recipes_build(name: str) -> None:
    cfg = get_cfg()
    merge_file(cfg, ROOT / "projects" / "brave" / f"{name}.yaml")
    with torch.device("meta"):
        task = create_task(cfg)
        features = {"narrow": task.pool(task.backbone(torch.empty(2, 3, 2, 32, 32)))}
        for view, shape in {"video": (2, 3, 2, 32, 32), "audio": (2, 1, 80, 64)}.items():
            if view in task.modalities:
                features[view] = task.get_submodule(f"broad_{view}")(torch.empty(shape))
        assert {tuple(rows.shape) for rows in features.values()} == {(2, 2048)}
        z, h = task.heads.eval()(features)
    assert z.shape == h.shape == (2 * len(task.modalities), 2, 128)
    assert task.views().draw_windows(10.0, torch.Generator())["broad"].seconds == pytest.approx(10.24)


@pytest.mark.slow
def test_the_largest_recipe_takes_a_step_at_a_small_input() -> None:
    cfg = get_cfg()
    merge_file(cfg, ROOT / "projects" / "brave" / "v_va_tsm50.yaml")
    small = {"DATA": {"NUM_FRAMES": 2, "TRAIN_CROP_SIZE": 32}, "BRAVE": {"BROAD_FRAMES": 2, "BROAD_CROP_SIZE": 32}}
    for part, values in small.items():
        cfg[part].update(values)
    task = create_task(cfg).train()
    optimizer = optimizer_from_config(cfg, task.parameter_groups())
    before = {name: p.detach().clone() for name, p in task.named_parameters() if p.ndim > 1}
    rng = torch.Generator().manual_seed(0)
    pictures = {
        name: torch.randint(0, 256, (2, 3, 2, 32, 32), generator=rng, dtype=torch.uint8) for name in ("narrow", "broad")
    }
    sound = torch.rand(2, round(task.broad.seconds * 48000), generator=rng) - 0.5
    batch = Batch(pictures, {"broad": sound}, {"broad": torch.ones(2)}, torch.tensor([4, 7]))
    task(batch, task.draw(keys_of(indices=(4, 7)))).total.backward()
    set_lr(optimizer, 0.1)
    optimizer.step()
    for name, p in task.named_parameters():
        if p.ndim > 1:
            moved = (p.detach() - before[name]).norm() / before[name].norm()
            lr = 1.0 if "predictor" in name else 0.1
            assert moved.item() == pytest.approx(lr * 0.001 * 1.9, rel=1e-3), name  # Nesterov's first step
