"""A value that cannot work is refused by its key, before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from stica_pv.config import apply_overrides, flatten
from stica_pv.config.keys import TABLE, check_limits
from stica_pv.config.limits import Limits
from stica_pv.defaults import get_cfg
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure

ROOT = Path(__file__).resolve().parents[1]

# Numbers of any size are fine: what they mean is checked where they are used, or they have no wrong value.
FREE = {"AUDIO.MEAN"}


def test_every_number_has_limits():
    numbers = {
        key for key, value in flatten(get_cfg()) if isinstance(value, int | float) and not isinstance(value, bool)
    }
    assert {key for key in numbers if TABLE.keys[key].limits is None} == FREE


def test_the_defaults_are_within_their_limits():
    check_limits(get_cfg())


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("SOLVER.MAX_EPOCH", "0", "SOLVER.MAX_EPOCH: got 0, expected at least 1"),
        ("SOLVER.BASE_LR", "nan", "SOLVER.BASE_LR: got nan, expected a finite number"),
        ("SOLVER.BASE_LR", "inf", "SOLVER.BASE_LR: got inf, expected a finite number"),
        ("SOLVER.LR_POLICY", "cosin", r"SOLVER.LR_POLICY: got 'cosin' \(did you mean cosine\?\); expected one of"),
        ("POOL.HEADS", "0", "POOL.HEADS: got 0, expected at least 1"),
        ("HEAD.DROPOUT", "2", "HEAD.DROPOUT: got 2.0, expected at least 0 and at most 0.99"),
        ("DATA.TARGET_FPS", "-1", "DATA.TARGET_FPS: got -1.0, expected above 0 and at most 1000"),
        ("DATA.BLUR_SIGMA", "[2, 1]", r"DATA.BLUR_SIGMA: got \[2.0, 1.0\], expected 2 numbers, each above 0, in asc"),
        ("DATA.MEAN", "[0.5]", r"DATA.MEAN: got \[0.5\], expected 3 numbers"),
        ("SYNTHETIC.TRAIN_CLIPS", "0", "SYNTHETIC.TRAIN_CLIPS: got 0, expected at least 1"),
        ("CROP.SPATIAL_SIZES", "[0.5, 1.5]", "CROP.SPATIAL_SIZES: .*expected 2 numbers, each above 0 and at most 1"),
    ],
)
def test_the_message_names_key_value_and_expectation(key: str, text: str, message: str):
    cfg = get_cfg()
    apply_overrides(cfg, [key, text])
    with pytest.raises(UsageError, match=f"^{message}"):
        check_limits(cfg)


@pytest.mark.parametrize(
    ("limits", "value", "allowed"),
    [
        (Limits(low=1), 1, True),
        (Limits(above=1), 1, False),
        (Limits(high=2), 3, False),
        (Limits(count=2), [1], False),
        (Limits(low=0), [], True),
        (Limits(ordered=True), [1, 1, 2], True),
        (Limits(ordered=True), [2, 1], False),
        (Limits(low=0), ["x"], False),
    ],
)
def test_limits_hold_for_numbers_and_for_each_of_a_list(limits: Limits, value: Any, allowed: bool):
    assert limits.allow(value) is allowed


# A grid names recipes and is none itself.
RECIPES = sorted(
    path for path in (ROOT / "projects").rglob("*.yaml") if path.name not in ("grid.yaml", "evidence.yaml")
)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_within_the_limits(path: Path):
    cfg = configure(str(path), [])  # raises what a person would read
    assert cfg.OUTPUT_DIR.endswith(f"{path.parent.name}/{path.stem}")
