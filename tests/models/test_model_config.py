"""Keys of the networks reach the builders."""

from pathlib import Path

import pytest

from stica_pv.config import CfgNode, apply_overrides
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure
from stica_pv.models import measure_pathways
from stica_pv.models.config import backbone_from_config
from stica_pv.registry import TASKS

ROOT = Path(__file__).resolve().parents[2]
RECIPES = {
    "slow_r50": [(2048, 8, 7, 7)],
    "x3d_m": [(192, 16, 7, 7)],
    "csn_r101": [(2048, 4, 7, 7)],
    "slowfast_r50": [(2048, 8, 7, 7), (256, 32, 7, 7)],
    "mvit_b": [(768, 8, 7, 7)],
    "swin3d_t": [(768, 16, 7, 7)],
}


def cfg_with(**overrides: object) -> CfgNode:
    cfg = get_cfg()
    apply_overrides(cfg, [str(part) for key, value in overrides.items() for part in (key.replace("__", "."), value)])
    return cfg


def test_width_reaches_backbones_that_scale_and_is_refused_by_others() -> None:
    assert backbone_from_config(cfg_with(MODEL__ARCH="r3d_10", MODEL__WIDTH=8)).out_channels == 64
    assert backbone_from_config(cfg_with(MODEL__ARCH="slow_r50", MODEL__WIDTH=8)).out_channels == 256
    with pytest.raises(UsageError, match="MODEL.WIDTH 8: the width of x3d_xs is fixed; set it to 0"):
        backbone_from_config(cfg_with(MODEL__ARCH="x3d_xs", MODEL__WIDTH=8))


def test_without_a_width_a_backbone_is_as_published() -> None:
    assert backbone_from_config(cfg_with(MODEL__ARCH="r2plus1d_10")).out_channels == 512


def test_a_transformer_is_built_for_the_clips_of_training() -> None:
    cfg = cfg_with(MODEL__ARCH="mvit_v1_b", DATA__NUM_FRAMES=4, DATA__TRAIN_CROP_SIZE=32)
    assert backbone_from_config(cfg).probe == (4, 32)


def test_sources_are_taken_in_place_of_a_name() -> None:
    cfg = cfg_with(MODEL__ARCH="torchvision:s3d", MODEL__ACT_CHECKPOINT=True)
    assert backbone_from_config(cfg).out_channels == 1024
    with pytest.raises(UsageError, match="torchvision has no video model called 's4d'"):
        backbone_from_config(cfg_with(MODEL__ARCH="torchvision:s4d"))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_recipe_of_another_trunk_builds_its_task_with_windows_of_6_and_4_of_7_cells(name: str, caplog) -> None:
    cfg = configure(str(ROOT / "projects" / "stica" / f"{name}.yaml"), [])
    task = TASKS.get(cfg.TASK)(cfg)
    sizes = measure_pathways(task.backbone, frames=cfg.DATA.NUM_FRAMES, size=cfg.DATA.TRAIN_CROP_SIZE)
    assert [tuple(one) for one in sizes] == RECIPES[name]
    assert cfg.DATA.TEST_CROP_SIZE == cfg.DATA.TRAIN_CROP_SIZE
    windows = [task.table.settings.window("space", large, task.map_shape) for large in (True, False)]
    assert [window[1:] for window in windows] == [(6, 6), (4, 4)]
    assert 2 <= cfg.DATA.NUM_FRAMES / cfg.DATA.TARGET_FPS <= 2.7
    assert not [record for record in caplog.records if "CROP" in record.message]
