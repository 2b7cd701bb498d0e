"""Table at the start of a training: data, model, batch, optimizer, schedule and devices."""

from collections.abc import Mapping
from typing import Any

import torch

from stica_pv.config import CfgNode
from stica_pv.tasks import Task
from stica_pv.transforms.color_compiled import description


def start_table(cfg: CfgNode, task: Task, info: Mapping[str, Any], device: torch.device) -> str:
    """Return the table.

    Args:
        cfg: Configuration of the training.
        task: The method.
        info: Settings derived from configuration and data, see `stica_pv.engine.training.derived_info`.
        device: Device of this process.
    """
    solver, precision = cfg.SOLVER, cfg.TRAIN.AMP_DTYPE if cfg.TRAIN.MIXED_PRECISION else "fp32"
    sizes = ", ".join(f"{name} {value}" for name, value in task.sizes().items())
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    rows = {
        "data": f"{info['videos']} videos ({info['videos_excluded']} excluded, {info['videos_silent']} without audio), "
        f"list {info['list_hash']}",
        "method": f"{cfg.TASK}{': ' if sizes else ''}{sizes}",
        "model": f"{info['parameters']:,} parameters: {_parts(task)}",
        "batch": f"{info['batch_size']} videos, {info['negatives']} negatives per query",
        "optimizer": f"{solver.OPTIMIZING_METHOD}, peak learning rate {info['peak_lr']:g}, "
        f"weight decay {solver.WEIGHT_DECAY:g}, {precision}",
        "schedule": f"{solver.LR_POLICY}, {solver.WARMUP_EPOCHS:g} epochs of warm-up; {info['steps']} steps, "
        f"{info['steps_per_epoch']} per epoch ({info['videos_left_over']} videos left over, others in each epoch)",
        "devices": f"{info['processes']} {'processes' if info['processes'] > 1 else 'process'} on {device_name}",
    }
    if device.type == "cpu":
        rows["colors"] = f"by {description()}"
    return "\n".join(f"  {name:<10} {value}" for name, value in rows.items())


def _parts(task: Task) -> str:
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in task.named_children()}
    return ", ".join(f"{name} {size:,}" for name, size in sizes.items() if size)
