"""Length of BraVe's first step for each of the two masks of LARS."""

from pathlib import Path

import torch
from torch import Tensor, nn

from stica_pv.config import merge_file
from stica_pv.data.decoding.reader import read
from stica_pv.data.loading.collate import collate
from stica_pv.data.loading.dataset import ClipDataset
from stica_pv.data.manifest.manifest import probe
from stica_pv.defaults import get_cfg
from stica_pv.engine.build_task import create_task
from stica_pv.engine.config import optimizer_from_config
from stica_pv.engine.lars import MASKS
from stica_pv.engine.optimizer import set_lr
from stica_pv.errors import UsageError
from stica_pv.structures import ReadFailure, SampleKey, StepKeys

RECIPE = Path(__file__).resolve().parents[2] / "projects" / "brave" / "v_a_tsm50.yaml"
PARTS = {"trunk of the narrow view": "backbone.", "audio encoder": "broad_audio.", "predictor": "heads.predictors."}


def step_lengths(paths: list[str], seed: int) -> dict[str, dict[str, float]]:
    """Returns, for each mask, the length of the change of each part of `PARTS` in the first step at the peak rate.

    Args:
        paths: Videos of the batch.
        seed: Seed of weights and augmentation.
    """
    cfg = get_cfg()
    merge_file(cfg, RECIPE)
    cfg.RNG_SEED = seed
    cfg.MODEL.ACT_CHECKPOINT = True  # the same gradients in less memory
    task = create_task(cfg).train()
    dataset = ClipDataset(
        paths,
        [probe(path).video_seconds for path in paths],
        task.views(),
        reader=read,
        seed=seed,
        replace_failures=False,
    )
    batch = collate([dataset[SampleKey(0, index)] for index in range(len(paths))])
    if isinstance(batch, ReadFailure):
        raise UsageError(f"{batch.path}: {batch.cause}")
    task(
        batch, task.sample_params(StepKeys(seed=seed, step=0, epoch=0, indices=tuple(range(len(paths)))))
    ).total.backward()
    found = {}
    initial = {name: parameter.detach().clone() for name, parameter in task.named_parameters()}
    for mask in MASKS:
        cfg.SOLVER.LARS_MASK = mask
        optimizer = optimizer_from_config(cfg, task.parameter_groups())
        set_lr(optimizer, cfg.SOLVER.BASE_LR)
        optimizer.step()
        found[mask] = {part: _moved(task, initial, start) for part, start in PARTS.items()}
        with torch.no_grad():
            for name, parameter in task.named_parameters():
                parameter.copy_(initial[name])
    return found


def _moved(task: nn.Module, initial: dict[str, Tensor], start: str) -> float:
    moves = [p.detach() - initial[name] for name, p in task.named_parameters() if name.startswith(start) and p.ndim > 1]
    return float(torch.stack([move.square().sum() for move in moves]).sum().sqrt())
