"""Read the configuration of a run from its folder."""

from collections.abc import Sequence
from pathlib import Path

from stica_pv.config import CfgNode, apply_overrides, flatten, merge_file
from stica_pv.config.imports import import_components, named_imports
from stica_pv.config.keys import check_limits
from stica_pv.config.node import read_settings
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
    path = folder / CONFIG
    if not path.is_file():
        raise UsageError(f"{folder} has no {CONFIG}: expected the OUTPUT_DIR of a run")
    import_components(named_imports((), overrides))  # they declare keys
    own, cfg = get_cfg(), get_cfg()
    apply_overrides(own, list(overrides))
    # Before its keys are judged: those of a module that is not imported are unknown.
    stored = ((key, value) for _, key, value in read_settings(path))
    refuse_code(stored, named_modules(flatten(own)), source=str(path))
    merge_file(cfg, path)
    cfg.OUTPUT_DIR = str(folder)
    apply_overrides(cfg, list(overrides))
    cfg.OVERRIDES = list(dict.fromkeys([*cfg.OVERRIDES, *overrides[::2]]))
    check_limits(cfg)
    cfg.freeze()
    return cfg
