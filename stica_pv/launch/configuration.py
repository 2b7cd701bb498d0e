"""The configuration that a command line names."""

from collections.abc import Sequence

from stica_pv.config import CfgNode, apply_overrides, keys_in_file, merge_file
from stica_pv.config.imports import all_imports, import_components, named_imports
from stica_pv.config.keys import check_limits, check_ownership
from stica_pv.config.node import read_settings
from stica_pv.defaults import get_cfg
from stica_pv.engine.run_name import default_output_dir
from stica_pv.errors import UsageError
from stica_pv.recipe_files import find_file


def configure(file: str, overrides: Sequence[str], *, name: str | None = None, trains: bool = True) -> CfgNode:
    """Returns the configuration of a file with overrides, with its OUTPUT_DIR, not frozen.

    Args:
        file: A YAML file, or the name of a recipe.
        overrides: Keys and values in turn, the last one of a key counts.
        name: Name of the run, which names its OUTPUT_DIR; None for none.
        trains: Whether a run trains with it; if not, it may set keys that the TASK never reads.

    Raises:
        UsageError: The file does not exist, both `name` and OUTPUT_DIR are given, or the file or an override is wrong
            or sets a key that the TASK never reads.
    """
    path = find_file(file)
    import_components(named_imports(read_settings(path), overrides))  # they declare keys
    cfg = get_cfg()
    merge_file(cfg, path)
    apply_overrides(cfg, list(overrides))
    cfg.CUSTOM_IMPORTS = all_imports(cfg.CUSTOM_IMPORTS)  # a checkpoint names all that it needs
    cfg.OVERRIDES = list(dict.fromkeys(overrides[::2]))
    check_limits(cfg)
    if trains and cfg.TRAIN.ENABLE:  # an evaluation takes its task from the checkpoint
        # Only the file's own keys: keys from a `_BASE_` of another method are shared with that method.
        check_ownership(cfg, [*keys_in_file(path), *cfg.OVERRIDES])
    if name is not None and cfg.OUTPUT_DIR:
        raise UsageError(f"--name {name} cannot be combined with OUTPUT_DIR {cfg.OUTPUT_DIR}: remove one of them")
    cfg.OUTPUT_DIR = cfg.OUTPUT_DIR or default_output_dir(path, overrides, name)
    return cfg
