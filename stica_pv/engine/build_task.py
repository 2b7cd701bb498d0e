"""Builds the task of a configuration, or of a checkpoint, with its initial weights."""

from collections.abc import Collection, Iterable
from typing import Any

import torch
from torch import nn

from stica_pv.config import CfgNode, flatten
from stica_pv.config.limits import check_limits
from stica_pv.config.node import set_key
from stica_pv.config.yaml_text import parse_stored_settings
from stica_pv.engine import load_checkpoint, load_weights
from stica_pv.engine.checkpoint import Checkpoint
from stica_pv.errors import UsageError
from stica_pv.keyed_random import seed_of
from stica_pv.models.backbones import LIBRARIES
from stica_pv.registry import TASKS
from stica_pv.tasks import Task
from stica_pv.transforms.config import add_transform_config

NETWORK_KEYS = ("TASK", "MODEL.", "POOL.", "HEAD.", "AUDIO.", "CROP.", "CONTRASTIVE.", "BN.", "GDT.", "CVRL.", "BRAVE.")
CLIP_KEYS = ("DATA.TEST_CROP_SIZE", "DATA.FRAME_CHOICE", "DATA.DECODING_SHORT_SIZE")  # and all keys of the transforms


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
    adopted = cfg.clone()
    adopted.defrost()
    settings = [
        (key, value)
        for key, value in parse_stored_settings(checkpoint["config"], source="checkpoint: its configuration")
        if describes_networks_or_clips(key) and key not in cfg.OVERRIDES
    ]
    refuse_code(settings, named_modules(flatten(cfg)), source="checkpoint")
    for key, value in settings:
        set_key(adopted, key, value, source="checkpoint: ")
    check_limits(adopted)
    adopted.freeze()
    return adopted


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
    for key, value in settings:
        for module in _modules_in(key, value):
            if module not in trusted:
                raise UsageError(
                    f"{source}: {key} {value} names code, which a file must not run: if you trust it, name its "
                    f"module yourself, CUSTOM_IMPORTS '[{module}]' (stica-pv export --import {module})"
                )


def _modules_in(key: str, value: Any) -> list[str]:
    words = [word for word in (value if isinstance(value, list) else [value]) if isinstance(word, str)]
    if key == "CUSTOM_IMPORTS":
        return words
    if not describes_networks_or_clips(key):  # such as addresses, which have colons too
        return []
    modules = [word.rpartition(":")[0] for word in words if ":" in word]
    return [module for module in modules if module not in LIBRARIES]


def describes_networks_or_clips(key: str) -> bool:
    """Whether a key describes the networks or their input clips."""
    return key.startswith(NETWORK_KEYS) or key in CLIP_KEYS or key in _TRANSFORM_KEYS


def _transform_keys() -> frozenset[str]:
    declared = CfgNode()
    add_transform_config(declared)
    return frozenset(key for key, _ in flatten(declared))


_TRANSFORM_KEYS = _transform_keys()


def use_channels_last(module: nn.Module) -> None:
    """Converts the weights of convolutions to channels last, in place; their outputs follow."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        elif isinstance(part, nn.Conv2d):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
