"""Whether a run that is there is one of this grid: its configuration beside that of the grid's words."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ablations.grid import Run

from stica_pv.config import flatten
from stica_pv.defaults import get_cfg
from stica_pv.engine.run_folder import CONFIG, FREE_KEYS, describe_differences, has_begun, settings_of
from stica_pv.errors import UsageError
from stica_pv.launch.configuration import configure

# Keys that may differ between the lives of a run, but that decide what comes out of it in the end.
OUTCOME_KEYS = (
    *("TEST.", "TRAIN.ENABLE", "TRAIN.MAX_STEPS"),
    *("DATA.PATH_TO_DATA_DIR", "DATA.PATH_PREFIX", "DATA.PATH_TO_FLOW_DIR"),
)


def check_settings(runs: Sequence[Run], finished: Callable[[Run], bool], *, root: Path) -> None:
    """Compares what was begun with what the grid's words give.

    Args:
        runs: Of the grid, whether there or not.
        finished: Whether what a run is for is there.
        root: Folder of the repository.

    Raises:
        UsageError: A folder holds a run of other settings; the message names the keys.
    """
    defaults = dict(flatten(get_cfg()))
    for run in runs:
        ended = finished(run)
        if not (run.folder / CONFIG).is_file() or not (ended or has_begun(run.folder)):
            continue
        now = dict(flatten(configure(str(run.file), run.words[2:], root=root)))
        before = defaults | settings_of(run.folder)  # keys that are younger than the run: as if at their defaults
        different = sorted(key for key in now if _decides(key, ended) and _differ(before.get(key), now[key]))
        if different:
            raise UsageError(
                f"{run.folder} holds a run of other settings ({describe_differences(different, before, now)}): "
                "choose another --out, or move it away"
            )


def _decides(key: str, ended: bool) -> bool:
    """Whether a key matters; an unfinished run may go on with whatever `run_net.py` lets it go on with."""
    return not key.startswith(FREE_KEYS) or (ended and key.startswith(OUTCOME_KEYS) and key != "TEST.BATCH_SIZE")


def _differ(before: Any, now: Any) -> bool:
    if isinstance(before, str) and isinstance(now, str) and before and now:
        return os.path.realpath(before) != os.path.realpath(now)  # one file may be spelled in two ways
    return bool(before != (list(now) if isinstance(now, tuple) else now))  # YAML has no tuples
