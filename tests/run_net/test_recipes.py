"""Every YAML file below projects/ loads and builds."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from tiny_runs import REPOSITORY

from stica_pv.engine.build_task import create_task

# They name recipes.
NOT_RECIPES = ("grid.yaml", "evidence.yaml")
RECIPES = sorted(path for path in (REPOSITORY / "projects").rglob("*.yaml") if path.name not in NOT_RECIPES)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_recipe_loads_and_its_task_builds(recipe: Path, tool: ModuleType):
    (cfg,) = tool.resolve_all(tool.parse(["--cfg", str(recipe)]))
    with torch.device("cpu" if "mvit" in cfg.MODEL.ARCH else "meta"):  # MViT reads numbers while it is built
        task = create_task(cfg)
    assert "video" in task.encoders()
    if cfg.TASK == "av_contrastive":  # one window, as long as its frames
        assert task.views().min_seconds == pytest.approx(cfg.DATA.NUM_FRAMES / cfg.DATA.TARGET_FPS)
        assert {"video", "audio"} == task.encoders().keys()
