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

NETWORK_KEYS = ("TASK", "MODEL.", "POOL.", "HEAD.", "AUDIO.", "CROP.", "CONTRASTIVE.")


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


def with_networks_of(cfg: CfgNode, checkpoint: Checkpoint) -> CfgNode:
    """Returns `cfg` with the task and the networks that a checkpoint was trained with: it describes itself."""
    adopted = cfg.clone()
    adopted.defrost()
    for key, value in flatten(yaml.safe_load(checkpoint["config"])):
        if key.startswith(NETWORK_KEYS):
            set_key(adopted, key, value, source="checkpoint: ")
    adopted.freeze()
    return adopted


def use_channels_last(module: nn.Module) -> None:
    """Lays the weights of convolutions out channels last, in place; the maps that they make follow."""
    for part in module.modules():
        if isinstance(part, nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        elif isinstance(part, nn.Conv2d):
            part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
