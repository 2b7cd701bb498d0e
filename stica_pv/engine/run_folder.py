"""The folder of a run: checks that it belongs to the run, and writes its first files."""

import hashlib
import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml

from stica_pv.config import CfgNode, flatten
from stica_pv.config.keys import is_free
from stica_pv.config.renamed import with_present_names
from stica_pv.credentials import without_credentials
from stica_pv.engine.checkpoint import list_checkpoints
from stica_pv.engine.records import METRICS
from stica_pv.errors import UsageError

CONFIG, RUN_INFO, ENVIRONMENT = "config.yaml", "run.json", "env.txt"
LONGEST_SLUG = 80
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML was built with it


def default_output_dir(cfg_file: str, overrides: Sequence[str]) -> str:
    """Returns output/<project>/<config>[/<overrides>] for a config file and its overrides.

    The project is the file's folder, or its folders below the nearest one called projects: gdt, stica/eval.
    """
    path = Path(cfg_file)
    folders = path.resolve().parent.parts
    below = folders[len(folders) - folders[::-1].index("projects") :] if "projects" in folders else ()
    parts = ["output", *(below or folders[-1:]), path.stem]
    values = map(without_credentials, overrides[1::2])
    last = dict(zip(overrides[::2], values, strict=False))  # the last value of a key counts
    telling = [f"{key}={value}" for key, value in last.items() if not is_free(key)]
    data = last.get("DATA.PATH_TO_DATA_DIR")
    if data:
        telling.append(f"data={Path(data).name}")
    if last.get("TEST.CHECKPOINT_FILE_PATH"):
        telling.append(f"checkpoint={last['TEST.CHECKPOINT_FILE_PATH']}")  # each evaluation keeps its results
    if telling:
        slug = re.sub(r"[^A-Za-z0-9.=,_-]+", "_", ",".join(telling))
        if len(slug) > LONGEST_SLUG:
            slug = f"{slug[:LONGEST_SLUG]}-{hashlib.sha256(slug.encode()).hexdigest()[:8]}"
        parts.append(slug)
    return os.path.join(*parts)


def claim(cfg: CfgNode, defaults: CfgNode | None = None) -> Path:
    """Creates or reuses the folder of a run; writes config.yaml, and env.txt if no training will.

    An evaluation keeps the config.yaml and env.txt of an earlier training there.

    Args:
        cfg: The configuration.
        defaults: Values of keys that are newer than the run in the folder; None: such keys count as different.

    Raises:
        UsageError: The folder contains another run, or cannot be written.
    """
    folder = Path(cfg.OUTPUT_DIR)
    path = folder / CONFIG
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file() and cfg.TRAIN.ENABLE:
            _refuse_another_run(cfg, folder, defaults)
        if cfg.TRAIN.ENABLE or not path.is_file():
            _write(path, without_credentials(cfg.dump()))
        if not cfg.TRAIN.ENABLE and not (folder / ENVIRONMENT).is_file():
            _write(folder / ENVIRONMENT, describe_environment())
    except OSError as error:
        raise UsageError(f"OUTPUT_DIR {folder} cannot be written: {error.strerror or error}") from error
    return folder


def has_begun(folder: Path) -> bool:
    """Whether the folder has results; a run without any may be started again with other keys."""
    metrics = folder / METRICS
    return bool(list_checkpoints(folder)) or (metrics.is_file() and metrics.stat().st_size > 0)


def settings_of(folder: Path) -> dict[str, Any]:
    """Returns the configuration of a run by dotted key, from its config.yaml.

    Raises:
        UsageError: This package did not write it.
    """
    path = folder / CONFIG
    try:
        stored = flatten(yaml.load(without_credentials(path.read_text(encoding="utf-8")), Loader=_LOADER))
        found = dict(with_present_names(stored))
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError) as error:  # AttributeError: it holds no mapping
        raise UsageError(f"{path} was not written by this package: choose another OUTPUT_DIR") from error
    if "TASK" not in found:
        raise UsageError(f"{path} was not written by this package: choose another OUTPUT_DIR")
    return found


def describe_differences(keys: Sequence[str], before: dict[str, Any], now: dict[str, Any]) -> str:
    """Returns the first of the keys that differ, with both values."""
    return ", ".join(f"{key} {before.get(key)!r} -> {now.get(key)!r}" for key in keys[:3])


def _refuse_another_run(cfg: CfgNode, folder: Path, defaults: CfgNode | None) -> None:
    before = dict(flatten(defaults or {})) | settings_of(folder)
    if not has_begun(folder):
        return
    now = dict(flatten(yaml.safe_load(without_credentials(cfg.dump()))))
    different = sorted(
        key for key in before.keys() | now.keys() if not is_free(key) and before.get(key) != now.get(key)
    )
    if different:
        raise UsageError(
            f"OUTPUT_DIR {folder} holds another run ({len(different)} keys differ: "
            f"{describe_differences(different, before, now)}): choose another OUTPUT_DIR, or move that folder"
        )


def write_run_info(folder: Path, info: dict[str, Any]) -> None:
    """Writes derived settings (run.json) and the environment (env.txt) of a run.

    Raises:
        UsageError: The disk is full, or the folder cannot be written.
    """
    for name, text in ((RUN_INFO, json.dumps(info, indent=2) + "\n"), (ENVIRONMENT, describe_environment())):
        try:
            _write(folder / name, text)
        except OSError as error:
            raise UsageError(
                f"cannot write {folder / name}: {error.strerror or error}; the checkpoints are untouched: "
                "free disk space and repeat the command to continue"
            ) from error


def describe_environment() -> str:
    """Returns command, machine and versions, one a line: ``name: value``."""
    return "".join(f"{name}: {value}\n" for name, value in _environment())


def _environment() -> Iterable[tuple[str, object]]:
    yield "command", without_credentials(" ".join(sys.argv))
    yield "host", platform.node()
    yield "system", platform.platform()
    yield "python", platform.python_version()
    yield "cpu", _cpu_name()
    yield "cpus", os.cpu_count()
    yield "memory", f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    yield "gpus", ", ".join(_gpu_name(number) for number in range(torch.cuda.device_count())) or "none"
    yield "cuda", torch.version.cuda or "none"
    for package in ("stica_pv", "torch", "torchvision", "pytorchvideo", "av", "fvcore", "iopath", "numpy"):
        try:
            yield package, metadata.version(package)
        except metadata.PackageNotFoundError:
            yield package, "not installed (run from its folder)"


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _gpu_name(number: int) -> str:
    found = torch.cuda.get_device_properties(number)
    return f"{found.name} ({found.total_memory / 2**30:.0f} GiB)"


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
