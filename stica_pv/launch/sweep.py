"""Expands one command line to several runs: a list of configurations times all combinations of swept values."""

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

from stica_pv.config import CfgNode
from stica_pv.engine.run_name import join_parts, setting_parts
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure

_COMMA = re.compile(r",(?![^\[(]*[\])])")  # not within brackets

Sweep = tuple[str, str]


def expand(
    files: Sequence[str], overrides: Sequence[str], sweeps: Sequence[Sweep], *, name: str | None = None
) -> list[CfgNode]:
    """Returns a configuration for each file and each combination of swept values, not frozen.

    Each run of a sweep has its own folder below the OUTPUT_DIR of the same command without the sweep.

    Args:
        files: Configuration files, or names of recipes.
        overrides: Alternating keys and values, for all runs.
        sweeps: Pairs of a key and its values, separated by commas.
        name: Name of the run, or of the sweep; None for none.

    Raises:
        UsageError: A file, key or value is wrong, or two runs would share an OUTPUT_DIR.
    """
    if any(key == "OUTPUT_DIR" for key, _ in sweeps):
        raise UsageError("--sweep OUTPUT_DIR: each run of a sweep has its own folder; sweep another key")
    choices = [[(key, value.strip()) for value in _COMMA.split(values)] for key, values in sweeps]
    cfgs = []
    for file in files:
        cfg = configure(file, overrides, name=name)
        for combination in itertools.product(*choices) if sweeps else ():
            folder = str(Path(cfg.OUTPUT_DIR) / join_parts(setting_parts(combination)))
            swept = [text for pair in combination for text in pair]
            cfgs.append(configure(file, [*overrides, *swept, "OUTPUT_DIR", folder]))
        if not sweeps:
            cfgs.append(cfg)
    folders = [cfg.OUTPUT_DIR for cfg in cfgs]
    twice = sorted({folder for folder in folders if folders.count(folder) > 1})
    if twice:
        raise UsageError(
            f"several runs share OUTPUT_DIR {twice[0]}: remove {'--name' if name else 'OUTPUT_DIR'}, "
            "or start them one by one"
        )
    return cfgs
