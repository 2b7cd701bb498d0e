"""Builds the task of a configuration, or of a checkpoint, with the weights that its run begins with."""

import torch
import yaml
from torch import nn

from stica_pv.config import CfgNode, flatten
from stica_pv.config.node import set_key
from stica_pv.engine import load_checkpoint, load_weights
from stica_pv.engine.checkpoint import Checkpoint
from stica_pv.keyed_random import seed_of
from stica_pv.registry import TASKS
from stica_pv.tasks import Task
from stica_pv.transforms.config import add_transform_config

NETWORK_KEYS = ("TASK", "MODEL.", "POOL.", "HEAD.", "AUDIO.", "CROP.", "CONTRASTIVE.", "BN.", "GDT.", "CVRL.", "BRAVE.")
CLIP_KEYS = ("DATA.TEST_CROP_SIZE", "DATA.FRAME_CHOICE", "DATA.DECODING_SHORT_SIZE")  # and all keys of the transforms


def create_task(cfg: CfgNode) -> Task:
    """Builds the task; equal seeds give equal initial weights, whatever was drawn before."""
    torch.manual_seed(seed_of("initial weights", cfg.RNG_SEED))
    task: Task = TASKS.get(cfg.TASK)(cfg)
    if cfg.MODEL.CHANNELS_LAST:
        use_channels_last(task)
    path = cfg.TRAIN.CHECKPOINT_FILE_PATH
    if path:
        load_weights(task, load_checkpoint(path)["model"], min_share=cfg.TRAIN.CHECKPOINT_MIN_MATCH, source=path)
    return task


def as_trained(cfg: CfgNode, checkpoint: Checkpoint) -> CfgNode:
    """Returns `cfg` with the task, the networks and the clips that a checkpoint was trained with: it describes itself.

    Keys that stand in OVERRIDES, those of the command line, stay as they are.
    """
    adopted = cfg.clone()
    adopted.defrost()
    for key, value in flatten(yaml.safe_load(checkpoint["config"])):
        if describes_networks_or_clips(key) and key not in cfg.OVERRIDES:
            set_key(adopted, key, value, source="checkpoint: ")
    adopted.freeze()
    return adopted


def describes_networks_or_clips(key: str) -> bool:
    """Whether a key belongs to the networks, or to the clips that they take."""
    return key.startswith(NETWORK_KEYS) or key in CLIP_KEYS or key in _TRANSFORM_KEYS


def _transform_keys() -> frozenset[str]:
    declared = CfgNode()
    add_transform_config(declared)
    return frozenset(key for key, _ in flatten(declared))


_TRANSFORM_KEYS = _transform_keys()


def use_channels_last(module: nn.Module) -> None:
    """Lays the weights of convolutions out channels last, in place; the maps that they make follow."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        elif isinstance(part, nn.Conv2d):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
