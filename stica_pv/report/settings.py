"""What was run: method, data, networks, the keys in which runs differ, hardware and versions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from stica_pv.engine.run_folder import FREE_KEYS
from stica_pv.report.page import Cell, Section, join, missing, table
from stica_pv.report.runs import Run

METHODS = {
    "av_contrastive": "STiCA: a clip finds its own audio, and crops of its feature maps find each other",
    "gdt": "GDT: clips and audio tracks are told apart or not by how they were transformed",
    "cvrl": "CVRL: two clips of one video find each other",
    "brave": "BraVe: a short clip predicts a long one, and the reverse",
    "classification": "classification with labels",
}
ABSENT = "not known"


def settings_section(runs: Sequence[Run]) -> Section | None:
    """Method, data, networks and schedule in words; below it the differing keys and the whole configuration."""
    rows = [[label, *(tell(run) for run in runs)] for label, tell in FACTS.items()]
    rows = [row for row in rows if any(row[1:])]
    names = [run.name for run in runs]
    parts = [table(["", *names], rows)]
    if len(runs) > 1:
        parts.append(_differences(runs))
    whole = sorted({key for run in runs for key in run.config})
    lines = [[key, *(_value(run, key) for run in runs)] for key in whole]
    parts.append(table(["key", *names], lines, folded=f"The whole configuration ({len(whole)} keys)"))
    return Section("What was run", join(parts))


def _differences(runs: Sequence[Run]) -> Markup:
    names = [run.name for run in runs]
    keys = differing_keys([run.config for run in runs if run.config])
    unknown = sorted({key for run in runs for key in run.config if any(key not in one.config for one in runs)})
    lines = [[key, *(_value(run, key) for run in runs)] for key in keys]
    parts = [table(["key", *names], lines, caption=f"The runs differ in {len(keys)} keys, OUTPUT_DIR left aside")]
    if not keys:
        parts = [missing(["In the keys that all of these runs know, their configurations do not differ."])]
    if unknown:
        rows = [[key, *(_value(run, key) for run in runs)] for key in unknown]
        parts.append(table(["key", *names], rows, folded=f"Keys that not every run knows ({len(unknown)})"))
    return join(parts)


def differing_keys(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns the keys that all configurations have, with different values; first those that change what is computed.

    OUTPUT_DIR differs always and is left out.
    """
    shared = set.intersection(*(set(config) for config in configs)) - {"OUTPUT_DIR"} if configs else set()
    found = [key for key in shared if any(config[key] != configs[0][key] for config in configs)]
    return sorted(found, key=lambda key: (key.startswith(FREE_KEYS), key))


def _value(run: Run, key: str) -> str:
    return str(run.config.get(key, ""))


def _method(run: Run) -> str:
    task = run.config.get("TASK", "")
    return METHODS.get(task, str(task)) if run.trains else "evaluation alone"


def _data(run: Run) -> str:
    config = run.config
    return str(config.get("DATA.PATH_TO_DATA_DIR", "")) or str(config.get("TRAIN.DATASET", ABSENT))


def _videos(run: Run) -> str:
    facts = run.facts
    if "videos" not in facts:
        return ""
    excluded, silent = facts.get("videos_excluded", 0), facts.get("videos_silent", 0)
    return f"{facts['videos']} used, {excluded} left out, {silent} without audio"


def _clip(run: Run) -> str:
    config = run.config
    if "DATA.NUM_FRAMES" not in config:
        return ""
    size, frames = config.get("DATA.TRAIN_CROP_SIZE"), config["DATA.NUM_FRAMES"]
    return f"{frames} images of {size} × {size} pixels at {config.get('DATA.TARGET_FPS')} a second"


def _networks(run: Run) -> str:
    config = run.config
    count = f", {run.facts['parameters'] / 1e6:.1f} million parameters" if "parameters" in run.facts else ""
    return f"{config.get('MODEL.ARCH', ABSENT)} sees, {config.get('AUDIO.ARCH', ABSENT)} hears{count}"


def _schedule(run: Run) -> str:
    if not run.trains:
        return ""
    config, facts = run.config, run.facts
    batch = f"batch {config.get('TRAIN.BATCH_SIZE', ABSENT)}, {config.get('SOLVER.MAX_EPOCH', ABSENT)} epochs"
    count = facts.get("processes", 1)
    processes = "process" if count == 1 else "processes"
    return f"{batch}, {facts['steps']} steps on {count} {processes}" if "steps" in facts else batch


def _optimizer(run: Run) -> str:
    if not run.trains or "SOLVER.OPTIMIZING_METHOD" not in run.config:
        return ""
    return f"{run.config['SOLVER.OPTIMIZING_METHOD']}, learning rate at most {run.facts.get('peak_lr', ABSENT)}"


FACTS: Mapping[str, Callable[[Run], str]] = {
    "method": _method,
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
    """Where the runs ran, and with which versions."""
    absent = [
        f"{run.name}: env.txt is missing, hardware and versions are not known." for run in runs if not run.environment
    ]
    notes = [missing(absent)] if absent else []
    names = list(dict.fromkeys(name for run in runs for name in run.environment if name != "command"))
    rows: list[list[Cell]] = [[name, *(run.environment.get(name, "") for run in runs)] for name in names]
    tables = [table(["", *(run.name for run in runs)], rows)] if rows else []
    return Section("Hardware and versions", join([*notes, *tables]))
