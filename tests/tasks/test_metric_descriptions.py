"""Every number that a method, the engine or an evaluation reports is explained, also on the page docs/metrics.md."""

from pathlib import Path

import pytest
from made_batches import noise_batch

from stica_pv.config import apply_overrides, merge_file
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import create_task
from stica_pv.engine.records import METRIC_DESCRIPTIONS
from stica_pv.structures import StepKeys

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = (REPOSITORY / "docs" / "metrics.md").read_text(encoding="utf-8")
RECIPES = {
    "av_contrastive": "stica/demo",
    "gdt": "gdt/demo",
    "cvrl": "cvrl/demo",
    "brave": "brave/demo",
}


@pytest.mark.parametrize("method", RECIPES)
def test_each_number_of_a_method_is_explained(method: str):
    cfg = get_cfg()
    merge_file(cfg, REPOSITORY / "projects" / f"{RECIPES[method]}.yaml")
    apply_overrides(cfg, ["MODEL.WIDTH", "4"])
    task = create_task(cfg)
    assert method == cfg.TASK
    batch, keys = noise_batch(task.views(), (0, 1, 2, 3)), StepKeys(0, 0, 0, (0, 1, 2, 3))
    found = task(batch, task.sample_params(keys)).scalars
    described = task.metric_descriptions()
    assert found.keys() <= described.keys()
    assert [name for name, text in described.items() if f"| `{name}` | {text} |" not in PAGE] == []


def test_each_number_of_the_engine_is_explained():
    assert [name for name, text in METRIC_DESCRIPTIONS.items() if f"| `{name}` | {text} |" not in PAGE] == []
