"""Settings of runs: method, data, networks, differing keys, hardware and versions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from stica_pv.config.keys import TABLE, is_free
from stica_pv.report.page import Section, card, join, missing, pairs, table
from stica_pv.report.runs import Run

ABSENT = "unknown"


def settings_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of method, data, networks and schedule, differing keys and the whole configuration."""
    rows = [[label, *(describe(run) for run in runs)] for label, describe in SETTINGS.items()]
    rows = [row for row in rows if any(row[1:])]
    names = [run.name for run in runs]
    parts = [_columns(names, rows)]
    if len(runs) > 1:
        parts.append(_differences(runs))
    whole = sorted({key for run in runs for key in run.config})
    lines = [[key, *(_value(run, key) for run in runs)] for key in whole]
    parts.append(table(["key", *names], lines, folded=f"Whole configuration ({len(whole)} keys)"))
    return Section("Settings", card(join(parts)))


def _differences(runs: Sequence[Run]) -> Markup:
    names = [run.name for run in runs]
    keys = differing_keys([run.config for run in runs if run.config])
    unknown = sorted({key for run in runs for key in run.config if any(key not in one.config for one in runs)})
    lines = [[key, *(_value(run, key) for run in runs)] for key in keys]
    parts = [table(["key", *names], lines, caption=f"The runs differ in {len(keys)} keys, OUTPUT_DIR excluded")]
    if not keys:
        parts = [missing(["The configurations do not differ in the keys that all runs have."])]
    if unknown:
        rows = [[key, *(_value(run, key) for run in runs)] for key in unknown]
        parts.append(table(["key", *names], rows, folded=f"Keys that some runs lack ({len(unknown)})"))
    return join(parts)


def differing_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the shared keys with different values; first those that change what is computed.

    OUTPUT_DIR always differs and is excluded.
    """
    shared = set.intersection(*(set(config) for config in configs)) - {"OUTPUT_DIR"} if configs else set()
    found = [key for key in shared if any(config[key] != configs[0][key] for config in configs)]
    return sorted(found, key=lambda key: (is_free(key), key))


def _value(run: Run, key: str) -> str:
    return str(run.config.get(key, ""))


def describe_method(run: Run) -> str:
    """Return what a run trains, in a line."""
    task = run.config.get("TASK", "")
    if not run.trains:
        return "evaluation only"
    return TABLE.tasks[task].sentence if task in TABLE.tasks else str(task)


def _data(run: Run) -> str:
    config = run.config
    return str(config.get("DATA.PATH_TO_DATA_DIR", "")) or str(config.get("TRAIN.DATASET", ABSENT))


def _videos(run: Run) -> str:
    info = run.info
    if "videos" not in info:
        return ""
    excluded, silent = info.get("videos_excluded", 0), info.get("videos_silent", 0)
    return f"{info['videos']} used, {excluded} excluded, {silent} without audio"


def _clip(run: Run) -> str:
    config = run.config
    if "DATA.NUM_FRAMES" not in config:
        return ""
    size, frames = config.get("DATA.TRAIN_CROP_SIZE"), config["DATA.NUM_FRAMES"]
    return f"{frames} frames of {size} × {size} pixels at {config.get('DATA.TARGET_FPS')} fps"


def _networks(run: Run) -> str:
    config = run.config
    count = f", {run.info['parameters'] / 1e6:.1f} million parameters" if "parameters" in run.info else ""
    return f"video encoder {config.get('MODEL.ARCH', ABSENT)}, audio encoder {config.get('AUDIO.ARCH', ABSENT)}{count}"


def _schedule(run: Run) -> str:
    if not run.trains:
        return ""
    config, info = run.config, run.info
    batch = f"batch {config.get('TRAIN.BATCH_SIZE', ABSENT)}, {config.get('SOLVER.MAX_EPOCH', ABSENT)} epochs"
    count = info.get("processes", 1)
    processes = "process" if count == 1 else "processes"
    return f"{batch}, {info['steps']} steps on {count} {processes}" if "steps" in info else batch


def _optimizer(run: Run) -> str:
    if not run.trains or "SOLVER.OPTIMIZING_METHOD" not in run.config:
        return ""
    return f"{run.config['SOLVER.OPTIMIZING_METHOD']}, peak learning rate {run.info.get('peak_lr', ABSENT)}"


SETTINGS: Mapping[str, Callable[[Run], str]] = {
    "method": describe_method,
    "data": _data,
    "videos": _videos,
    "clip": _clip,
    "networks": _networks,
    "schedule": _schedule,
    "optimizer": _optimizer,
    "seed": lambda run: str(run.config.get("RNG_SEED", "")),
    "command": lambda run: run.environment.get("command", ""),
    "folder": lambda run: str(run.folder),
}


def hardware_section(runs: Sequence[Run]) -> Section | None:
    """Return the section of hardware and versions; None if no run recorded them."""
    names = list(dict.fromkeys(name for run in runs for name in run.environment if name != "command"))
    rows = [[name, *(run.environment.get(name, "") for run in runs)] for name in names]
    return Section("Hardware and versions", card(_columns([run.name for run in runs], rows))) if rows else None


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Markup:
    """Return a table with a column per run; of one run, a list in several columns."""
    if len(names) == 1:
        return pairs([(name, value) for name, value in rows])
    return table(["", *names], rows)
