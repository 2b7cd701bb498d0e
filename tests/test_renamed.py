"""Renamed keys: a command with an old one is refused with the new one; what was stored under old names is read."""

import re
from pathlib import Path

import pytest
import yaml
from made_checkpoints import content

from stica_pv.config import CfgNode, apply_overrides, flatten
from stica_pv.config.keys import check_limits
from stica_pv.config.renamed import RENAMED_KEYS, RENAMED_VALUES, with_present_names
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import as_trained
from stica_pv.engine.run_folder import claim, settings_of
from stica_pv.errors import UsageError


def nested(settings: dict[str, object]) -> str:
    """YAML text of dotted keys, in sections."""
    root: dict[str, object] = {}
    for key, value in settings.items():
        node = root
        *parents, leaf = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})  # type: ignore[assignment]
        node[leaf] = value
    return yaml.safe_dump(root)


def old_names(cfg: CfgNode, *, without: tuple[str, ...] = ()) -> str:
    """The text of a configuration as it was written before keys were renamed, and before some existed."""
    before = {new: old for old, new in RENAMED_KEYS.items()}
    return nested({before.get(key, key): value for key, value in flatten(cfg) if key not in without})


def test_no_old_name_is_a_key_and_every_new_one_is():
    known = dict(flatten(get_cfg())).keys()
    assert not RENAMED_KEYS.keys() & known
    assert set(RENAMED_KEYS.values()) <= known


def test_an_old_key_is_refused_with_the_new_one():
    with pytest.raises(UsageError, match=r"^CONTRASTIVE\.T is now called CONTRASTIVE\.TEMPERATURE: use that name$"):
        apply_overrides(get_cfg(), ["CONTRASTIVE.T", "0.1"])


@pytest.mark.parametrize(
    ("key", "old", "new"), [(key, old, new) for key, values in RENAMED_VALUES.items() for old, new in values.items()]
)
def test_an_old_value_is_refused_with_the_new_one(key: str, old: str, new: str):
    with pytest.raises(UsageError, match=rf"^{re.escape(key)} {old} is now called {new}: use that name$"):
        apply_overrides(get_cfg(), [key, old])
    cfg = get_cfg()
    apply_overrides(cfg, [key, new])
    check_limits(cfg)
    assert dict(with_present_names([(key, old)])) == {key: new}


def test_a_checkpoint_of_before_describes_itself():
    cfg = get_cfg()
    cfg.AUDIO.NUM_MEL_BINS, cfg.CROP.SPATIAL_SIZES, cfg.DATA.COLOR_STYLE = 40, [0.7, 0.4], "released"
    adopted = as_trained(get_cfg(), content(config=old_names(cfg)))
    assert (adopted.AUDIO.NUM_MEL_BINS, adopted.CROP.SPATIAL_SIZES) == (40, [0.7, 0.4])
    assert adopted.DATA.COLOR_STYLE == "released"


def test_values_and_overrides_have_their_present_names():
    stored = [("TEST.PROCESSING", "centred"), ("OVERRIDES", ["CROP.TIME_LARGE", "RNG_SEED"]), ("TEST.KNN_K", 5)]
    assert dict(with_present_names(stored)) == {
        "TEST.FEATURE_NORM": "centered",
        "OVERRIDES": ["CROP.NUM_LARGE_TEMPORAL", "RNG_SEED"],
        "TEST.KNN_K": 5,
    }


def test_a_run_of_before_goes_on_though_its_keys_are_renamed_and_some_are_younger(tmp_path: Path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR = str(tmp_path)
    (tmp_path / "config.yaml").write_text(old_names(cfg, without=("DATA.CROP_STYLE", "POOL.POSITION_STD")))
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step_00000004.pyth").touch()
    assert claim(cfg, get_cfg()) == tmp_path
    assert settings_of(tmp_path)["CONTRASTIVE.TEMPERATURE"] == cfg.CONTRASTIVE.TEMPERATURE


def test_a_younger_key_that_is_set_is_another_run(tmp_path: Path):
    cfg = get_cfg()
    cfg.OUTPUT_DIR, cfg.DATA.CROP_STYLE = str(tmp_path), "tf"
    (tmp_path / "config.yaml").write_text(old_names(get_cfg(), without=("DATA.CROP_STYLE",)))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step_00000004.pyth").touch()
    with pytest.raises(UsageError, match=r"DATA\.CROP_STYLE 'torchvision' -> 'tf'"):
        claim(cfg, get_cfg())
