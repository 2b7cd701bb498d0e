"""The configuration that a command line names."""

from collections.abc import Sequence
from pathlib import Path

from stica_pv.config import CfgNode, apply_overrides, merge_file
from stica_pv.config.limits import check_limits
from stica_pv.defaults import LIMITS, get_cfg
from stica_pv.engine.run_folder import default_output_dir


def configure(file: str, overrides: Sequence[str], *, root: Path) -> CfgNode:
    """Returns the configuration of a file with overrides, with its OUTPUT_DIR, not frozen.

    Args:
        file: A YAML file; one that is not here is looked for below `root`.
        overrides: Keys and values in turn, the last one of a key counts.
        root: Folder of the repository.

    Raises:
        UsageError: There is no such file, or it or an override is wrong.
    """
    path = file if Path(file).exists() or not (root / file).is_file() else str(root / file)
    cfg = get_cfg()
    merge_file(cfg, path)
    apply_overrides(cfg, list(overrides))
    cfg.OVERRIDES = list(dict.fromkeys(overrides[::2]))
    check_limits(cfg, LIMITS)
    cfg.OUTPUT_DIR = cfg.OUTPUT_DIR or default_output_dir(path, overrides)
    return cfg
