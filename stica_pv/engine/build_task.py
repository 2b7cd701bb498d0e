"""Builds the task of a configuration, or of a checkpoint, with its initial weights."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from stica_pv.config import CfgNode, flatten, with_keys
from stica_pv.config.imports import KEY, allowed_modules
from stica_pv.config.keys import TABLE, check_limits, is_adopted
from stica_pv.config.yaml_text import parse_stored_settings
from stica_pv.engine import load_checkpoint, load_weights
from stica_pv.engine.checkpoint import Checkpoint
from stica_pv.errors import UsageError
from stica_pv.keyed_random import seed_of
from stica_pv.models.backbones import LIBRARIES
from stica_pv.registry import AUDIO_ENCODERS, BACKBONES, POOLINGS, TASKS
from stica_pv.tasks import Task


def create_task(cfg: CfgNode) -> Task:
    """Builds the task; equal seeds give equal initial weights, independent of earlier random numbers."""
    torch.manual_seed(seed_of("initial weights", cfg.RNG_SEED))
    task: Task = TASKS.get(cfg.TASK)(cfg)
    if cfg.MODEL.CHANNELS_LAST:
        use_channels_last(task)
    path = cfg.TRAIN.CHECKPOINT_FILE_PATH
    if path:
        load_weights(task, load_checkpoint(path)["model"], min_share=cfg.TRAIN.CHECKPOINT_MIN_MATCH, source=path)
    return task


def as_trained(cfg: CfgNode, checkpoint: Checkpoint) -> CfgNode:
    """Returns `cfg` with the task, the networks and the clip settings of a checkpoint, which describes itself.

    Keys in OVERRIDES, those of the command line, stay as they are.

    Raises:
        UsageError: Its configuration is malformed, or names code that `cfg` does not name.
    """
    stored = parse_stored_settings(checkpoint["config"], source="checkpoint: its configuration")
    trusted = named_modules(flatten(cfg)) | allowed_modules()
    _refuse_missing_modules(dict(stored), trusted)
    settings = [(key, value) for key, value in stored if is_adopted(key) and key not in cfg.OVERRIDES]
    refuse_code(settings, trusted, source="checkpoint")
    adopted = with_keys(cfg, settings, source="checkpoint: ")
    check_limits(adopted)
    return adopted


# Keys that name a component, and where components are registered.
_COMPONENTS = {"TASK": TASKS, "MODEL.ARCH": BACKBONES, "AUDIO.ARCH": AUDIO_ENCODERS, "POOL.NAME": POOLINGS}


def _refuse_missing_modules(stored: Mapping[str, Any], trusted: Collection[str]) -> None:
    """Refuses a configuration with keys or components of modules that are not imported, and names the modules."""
    keys = [f"{key} is a key" for key in stored if not TABLE.roles(key) and "." in key]
    names = [
        f"{key} {stored[key]} is a component"
        for key, registry in _COMPONENTS.items()
        if isinstance(stored.get(key), str) and ":" not in stored[key] and stored[key] not in registry
    ]
    absent = [module for module in _modules_in(KEY, stored.get(KEY, [])) if module not in trusted]
    if (keys or names) and absent:
        raise UsageError(f"checkpoint: {(keys or names)[0]} of another module{_how_to_allow(absent)}")


def _how_to_allow(modules: Iterable[str]) -> str:
    listed = list(modules)
    options = " ".join(f"--import {module}" for module in listed)
    return (
        f", which a file must not import by itself: if you trust {', '.join(listed)}, add {options} to the command "
        f"(or {KEY} '[{', '.join(listed)}]')"
    )


def named_modules(settings: Iterable[tuple[str, Any]]) -> set[str]:
    """Returns the modules that settings name: those of CUSTOM_IMPORTS, and those of ``<module>:<function>``."""
    return {module for key, value in settings for module in _modules_in(key, value)}


def refuse_code(settings: Iterable[tuple[str, Any]], trusted: Collection[str], *, source: str) -> None:
    """Refuses settings of a file that would run code; a file may only name registered components.

    Args:
        settings: Keys and values of the file.
        trusted: Modules that the user's own command or configuration names.
        source: The file; begins messages.

    Raises:
        UsageError: They name another module.
    """
    allowed = {*trusted, *allowed_modules()}
    for key, value in settings:
        absent = [module for module in _modules_in(key, value) if module not in allowed]
        if absent:
            raise UsageError(f"{source}: {key} {value} names code{_how_to_allow(absent)}")


def _modules_in(key: str, value: Any) -> list[str]:
    texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    if key == KEY:
        return texts
    if not is_adopted(key):  # such as addresses, which have colons too
        return []
    modules = [text.rpartition(":")[0] for text in texts if ":" in text]
    return [module for module in modules if module not in LIBRARIES]


def use_channels_last(module: nn.Module) -> None:
    """Converts the weights of convolutions to channels last, in place; their outputs follow."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        elif isinstance(part, nn.Conv2d):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
