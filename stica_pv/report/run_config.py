"""Read the configuration of a run from its folder."""

from collections.abc import Sequence
from pathlib import Path

from stica_pv.config import CfgNode, apply_overrides, flatten, merge_file
from stica_pv.config.limits import check_limits
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import named_modules, refuse_code
from stica_pv.engine.run_folder import CONFIG
from stica_pv.errors import UsageError


def configuration_of(folder: Path, overrides: Sequence[str] = ()) -> CfgNode:
    """Read config.yaml of an OUTPUT_DIR, which may have been moved or come from an untrusted source.

    Args:
        folder: OUTPUT_DIR of the run.
        overrides: Alternating keys and values; the last value of a key counts.

    Returns:
        The frozen configuration.

    Raises:
        UsageError: The file is missing, names code that the overrides do not name, or an override is invalid.
    """
    if not (folder / CONFIG).is_file():
        raise UsageError(f"{folder} has no {CONFIG}: expected the OUTPUT_DIR of a run")
    cfg = get_cfg()
    own = cfg.clone()
    apply_overrides(own, list(overrides))
    merge_file(cfg, folder / CONFIG)
    refuse_code(flatten(cfg), named_modules(flatten(own)), source=str(folder / CONFIG))
    cfg.OUTPUT_DIR = str(folder)
    apply_overrides(cfg, list(overrides))
    cfg.OVERRIDES = list(dict.fromkeys([*cfg.OVERRIDES, *overrides[::2]]))
    check_limits(cfg)
    cfg.freeze()
    return cfg
