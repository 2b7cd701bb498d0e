"""The configuration that a run has left in its folder."""

from collections.abc import Sequence
from pathlib import Path

from stica_pv.config import CfgNode, apply_overrides, merge_file
from stica_pv.config.limits import check_limits
from stica_pv.defaults import LIMITS, get_cfg
from stica_pv.engine.run_folder import CONFIG
from stica_pv.errors import UsageError


def configuration_of(folder: Path, overrides: Sequence[str] = ()) -> CfgNode:
    """Reads config.yaml of an OUTPUT_DIR, which may have been moved since.

    Args:
        folder: The OUTPUT_DIR.
        overrides: Keys and values in turn, the last one of a key counts.

    Returns:
        The frozen configuration.

    Raises:
        UsageError: There is none, or an override is wrong.
    """
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} has no {CONFIG}: expected the OUTPUT_DIR of a run")
    cfg = get_cfg()
    merge_file(cfg, folder / CONFIG)
    cfg.OUTPUT_DIR = str(folder)
    apply_overrides(cfg, list(overrides))
    cfg.OVERRIDES = list(dict.fromkeys([*cfg.OVERRIDES, *overrides[::2]]))
    check_limits(cfg, LIMITS)
    cfg.freeze()
    return cfg
