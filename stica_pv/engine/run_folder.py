"""The folder of a run: checks that it belongs to the run, and writes its first files."""

import json
import logging
import os
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
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
from stica_pv.partial_file import partial_file

logger = logging.getLogger(__name__)

CONFIG, RUN_INFO, ENVIRONMENT, FAILURE = "config.yaml", "run.json", "env.txt", "failure.json"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C, where PyYAML was built with it


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
        elif cfg.TRAIN.ENABLE:
            _log_earlier_folder(cfg, folder, defaults)
        if cfg.TRAIN.ENABLE or not path.is_file():
            _write(path, without_credentials(cfg.dump()))
        if not cfg.TRAIN.ENABLE and not (folder / ENVIRONMENT).is_file():
            _write(folder / ENVIRONMENT, describe_environment())
    except OSError as error:
        raise UsageError(f"OUTPUT_DIR {folder} cannot be written: {error.strerror or error}") from error
    return folder


@contextmanager
def recorded_failure(folder: Path) -> Iterator[None]:
    """Records in failure.json why a run ends early; the next attempt removes it."""
    path = folder / FAILURE
    with suppress(OSError):
        path.unlink(missing_ok=True)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        cause = without_credentials(" ".join(str(error).split()))
        record = {"error": type(error).__name__, "cause": cause, "time": time.time()}
        with suppress(OSError):  # a full disk may be the failure itself
            _write(path, json.dumps(record) + "\n")
        raise


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
    different, before, now = _compare(cfg, folder, defaults)
    if different and has_begun(folder):
        raise UsageError(
            f"OUTPUT_DIR {folder} holds another run ({len(different)} keys differ: "
            f"{describe_differences(different, before, now)}): choose another OUTPUT_DIR, or move that folder"
        )


def _log_earlier_folder(cfg: CfgNode, folder: Path, defaults: CfgNode | None) -> None:
    """Names a folder with the same run; default names were once of the form ``KEY=VALUE,KEY=VALUE``."""
    for other in sorted(folder.parent.glob("*=*")):
        if (other / CONFIG).is_file() and has_begun(other) and not _compare(cfg, other, defaults)[0]:
            logger.warning(
                "%s has begun the same run, under its earlier name: OUTPUT_DIR %s continues it", other, other
            )


def _compare(cfg: CfgNode, folder: Path, defaults: CfgNode | None) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Returns the keys that make a configuration another run than that of a folder, and both settings."""
    before = dict(flatten(defaults or {})) | settings_of(folder)
    now = dict(flatten(yaml.safe_load(without_credentials(cfg.dump()))))
    different = [key for key in before.keys() | now.keys() if not is_free(key) and before.get(key) != now.get(key)]
    return sorted(different), before, now


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
    with partial_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
