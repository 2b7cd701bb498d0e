"""One run, from a configuration to weights and numbers: build the task, train it, evaluate it."""

import importlib
import logging
from contextlib import nullcontext
from pathlib import Path

import torch

from stica_pv.assess import assess, find_checkpoint
from stica_pv.config import CfgNode
from stica_pv.create import create_task, with_networks_of
from stica_pv.data.synthetic import generate_from_config
from stica_pv.data.videos import list_from_config
from stica_pv.distributed import barrier, is_main
from stica_pv.engine.lock import RunLock
from stica_pv.engine.run_folder import claim
from stica_pv.errors import UsageError
from stica_pv.evaluation.suite import Results
from stica_pv.pretrain import check_batch, pretrain

logger = logging.getLogger(__name__)


def run(cfg: CfgNode, device: torch.device) -> Results:
    """Trains and evaluates as `cfg` says, on this process of possibly several.

    Returns:
        The evaluations' results by name, in %; empty without evaluations.

    Raises:
        UsageError: Something in the configuration or the data cannot be done.
        RunFailed: Training cannot go on.
    """
    import_custom(cfg)
    if cfg.TRAIN.ENABLE:
        check_batch(cfg)
    folder = Path(cfg.OUTPUT_DIR)
    if cfg.TEST.ENABLE and not cfg.TRAIN.ENABLE:
        found = find_checkpoint(cfg, folder)
        cfg = with_networks_of(cfg, found[0]) if found is not None else cfg
    task = create_task(cfg).to(device)  # this and the list before the folder: a wrong request leaves nothing behind
    if is_main() and cfg.SYNTHETIC.GENERATE:
        generate_from_config(cfg)
    barrier()
    videos = list_from_config(cfg, dataset=cfg.TRAIN.DATASET, split=cfg.TRAIN.SPLIT)
    with RunLock(folder) if is_main() else nullcontext():
        if is_main():
            claim(cfg)
        barrier()
        finished = pretrain(cfg, task, videos, folder, device) if cfg.TRAIN.ENABLE else True
        results = assess(cfg, task, folder, device) if cfg.TEST.ENABLE and finished else {}
    if is_main():
        logger.info("everything lies in %s", folder)
    return results


def import_custom(cfg: CfgNode) -> None:
    """Imports the modules that register the user's components."""
    for name in cfg.CUSTOM_IMPORTS:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise UsageError(f"CUSTOM_IMPORTS: {name}: {error}; is its folder in PYTHONPATH?") from error
