"""Check that an existing run belongs to a grid: its configuration is compared with that of the grid."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from stica_pv.commands.ablations.grid import Run
from stica_pv.config import flatten
from stica_pv.config.keys import decides_results, is_free
from stica_pv.defaults import get_cfg
from stica_pv.engine.run_folder import CONFIG, describe_differences, has_begun, settings_of
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure


def check_settings(runs: Sequence[Run], finished: Callable[[Run], bool]) -> None:
    """Compares the settings of started runs with those of the grid.

    Args:
        runs: Runs of the grid, existing or not.
        finished: Returns whether the results of a run exist.

    Raises:
        UsageError: A folder contains a run with other settings; the message names the keys.
    """
    defaults = dict(flatten(get_cfg()))
    for run in runs:
        ended = finished(run)
        if not (run.folder / CONFIG).is_file() or not (ended or has_begun(run.folder)):
            continue
        now = dict(flatten(configure(str(run.file), run.arguments[2:])))
        before = defaults | settings_of(run.folder)  # keys that are newer than the run count as defaults
        different = sorted(key for key in now if _decides(key, ended) and _differ(before.get(key), now[key]))
        if different:
            raise UsageError(
                f"{run.folder} contains a run with other settings ({describe_differences(different, before, now)}): "
                "choose another --out, or move it away"
            )


def _decides(key: str, ended: bool) -> bool:
    """Returns whether a key matters; an unfinished run may resume with any change that a repeated run accepts."""
    return not is_free(key) or (ended and decides_results(key))


def _differ(before: Any, now: Any) -> bool:
    if isinstance(before, str) and isinstance(now, str) and before and now:
        return os.path.realpath(before) != os.path.realpath(now)  # one file may have two spellings
    return bool(before != (list(now) if isinstance(now, tuple) else now))  # YAML has no tuples
