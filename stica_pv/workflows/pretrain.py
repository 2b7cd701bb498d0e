"""Pre-training of a run: select the usable files of a list and train a task on them."""

from pathlib import Path

import torch

from stica_pv.config import CfgNode
from stica_pv.data.config import manifest_path
from stica_pv.data.manifest.bad_files import NAME as BAD_FILES
from stica_pv.data.manifest.bad_files import BadFiles
from stica_pv.data.manifest.videos import NoneUsable, open_in_turn
from stica_pv.data.sources.video_list import VideoList
from stica_pv.distributed import is_main
from stica_pv.engine.training import run_training
from stica_pv.errors import UsageError
from stica_pv.evaluation.online import online_from_config
from stica_pv.tasks import Task


def pretrain(
    cfg: CfgNode, task: Task, listed: VideoList, folder: Path, device: torch.device, profile_steps: int = 0
) -> None:
    """Train `task` on the usable files of a list, from its newest checkpoint; `RunStopped` if a signal stops it."""
    task.check_labels(listed.labels)
    try:
        videos = open_in_turn(listed, manifest_path(cfg, folder), task.views())
    except NoneUsable as error:
        if is_main():
            BadFiles(folder / BAD_FILES, 0, cfg.DATA.MAX_BAD_SHARE).begin(error.excluded)
        raise UsageError(f"{error}; see {folder / BAD_FILES} for the cause of each") from error
    online = online_from_config(cfg, task, videos, device)
    run_training(cfg, task, videos, folder, device, at_epoch_end=online, profile_steps=profile_steps)
