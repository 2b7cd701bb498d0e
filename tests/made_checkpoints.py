"""Content of a checkpoint of no run, to be changed or saved as it is."""

from typing import Any

import torch


def content(**changes: Any) -> dict[str, Any]:
    """Returns what `save_checkpoint` takes, with changes."""
    return {
        "config": "TASK: av_contrastive\n",
        "step": 0,
        "epoch_size": 1,
        "list_hash": "abc",
        "model": {"w": torch.zeros(3)},
        "optimizer": {},
        "scaler": {},
        "meter": {},
        **changes,
    }
