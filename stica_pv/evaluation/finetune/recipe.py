"""Configuration of a fine-tuning: TASK classification, derived from the configuration of an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stica_pv.config import CfgNode, flatten, with_keys
from stica_pv.config.keys import is_free
from stica_pv.engine.config import check_batch, peak_lr, schedule_from_config
from stica_pv.errors import UsageError, check_choice
from stica_pv.evaluation.evaluated_model import ClipFormat
from stica_pv.evaluation.finetune.config import SCHEDULES


def schedule_keys(
    *, warmup_epochs: int, warmup_start: float, steps: list[int], gamma: float, schedule: str
) -> dict[str, Any]:
    """Return the keys of SOLVER for the learning rate of fine-tuning.

    Args:
        warmup_epochs: Length of warm-up.
        warmup_start: Share of the learning rate at the start of warm-up.
        steps: Epochs after which the learning rate is multiplied.
        gamma: Factor of the multiplication.
        schedule: ``intended``: warm-up per step, and milestones as given. ``released``: the rate changes between epochs
            only, and every milestone is one epoch late.
    """
    check_choice("TEST.FINETUNE.SCHEDULE", schedule, SCHEDULES)
    falling = [gamma**i for i in range(len(steps) + 1)]
    if schedule == "intended":
        warmup, milestones, factors = float(warmup_epochs), [0, *steps], falling
    else:
        grown = [warmup_start + (1 - warmup_start) * epoch / warmup_epochs for epoch in range(warmup_epochs)]
        warmup, factors = 0.0, [*grown, *falling]
        milestones = [*range(warmup_epochs), warmup_epochs, *(step + 1 for step in steps)]
    return {
        "SOLVER.LR_POLICY": "steps_with_relative_lrs",
        "SOLVER.WARMUP_EPOCHS": warmup,
        "SOLVER.STEPS": milestones,
        "SOLVER.LRS": factors,
    }


def training_config(
    cfg: CfgNode,
    *,
    classes: int,
    clip_format: ClipFormat,
    networks: Sequence[tuple[str, Any]] = (),
    modality: str = "video",
) -> CfgNode:
    """Return the configuration of one fine-tuning: `cfg` with its training replaced.

    Args:
        cfg: Configuration of the evaluation.
        classes: Number of classes.
        clip_format: Format of the clips.
        networks: Keys that build the networks, so that checkpoints describe themselves.
        modality: ``video``, or ``video+audio``: both networks are trained.

    Raises:
        UsageError: The keys of TEST.FINETUNE contradict each other or do not fit the number of processes.
    """
    finetune = cfg.TEST.FINETUNE
    keys: Mapping[str, Any] = {
        **dict(networks),
        "TASK": "classification",
        "MODEL.NUM_CLASSES": classes,
        "CLASSIFICATION.MODALITY": modality,
        "BN.SYNC": finetune.SYNC_BN,
        **{f"TRAIN.{key}": value for key, value in _train_keys(finetune).items()},
        **{f"SOLVER.{key}": value for key, value in _solver_keys(finetune).items()},
        **schedule_keys(
            warmup_epochs=finetune.WARMUP_EPOCHS,
            warmup_start=finetune.WARMUP_START,
            steps=finetune.LR_STEPS,
            gamma=finetune.LR_GAMMA,
            schedule=finetune.SCHEDULE,
        ),
        "DATA.NUM_FRAMES": clip_format.frames,
        "DATA.TARGET_FPS": clip_format.fps,
        "DATA.TRAIN_CROP_SIZE": clip_format.train_size,
        "DATA.TEST_CROP_SIZE": clip_format.size,
        "DATA.MEAN": list(clip_format.color.mean),
        "DATA.STD": list(clip_format.color.std),
        "DATA.FRAME_CHOICE": clip_format.frame_choice,
        "DATA.DECODING_SHORT_SIZE": clip_format.short_size,
        "DATA.COLOR_JITTER_PROB": finetune.COLOR_JITTER_PROB,
        "DATA.COLOR_RND_GRAYSCALE": 0.0,
        "DATA.BLUR_PROB": 0.0,
        "DATA.GROUP_PATTERN": "",  # a batch may hold several clips of a source
        "TEST.ENABLE": False,
        "TENSORBOARD.LOG_DIR": "",
    }
    run = with_keys(cfg, keys.items())
    run = with_keys(run, [("SOLVER.WARMUP_START_LR", finetune.WARMUP_START * peak_lr(run))])
    try:
        check_batch(run)
        schedule_from_config(run, steps_per_epoch=1)
    except UsageError as error:
        raise UsageError(f"TEST.FINETUNE gives an invalid training: {error}") from error
    return run


def in_folder(run: CfgNode, folder: Path) -> CfgNode:
    """Return the configuration of a training with its folder."""
    return with_keys(run, [("OUTPUT_DIR", str(folder))])


def _train_keys(finetune: CfgNode) -> dict[str, Any]:
    return {
        "ENABLE": True,
        "BATCH_SIZE": finetune.BATCH_SIZE,
        "GRAD_CACHE_CHUNK": 0,
        "MAX_STEPS": 0,
        "AUTO_RESUME": True,
        "CHECKPOINT_PERIOD": 1,
        "CHECKPOINT_KEEP": 1,
        "CHECKPOINT_KEEP_EVERY": 0,
        "CHECKPOINT_FILE_PATH": "",
    }


def _solver_keys(finetune: CfgNode) -> dict[str, Any]:
    return {
        "OPTIMIZING_METHOD": "sgd",
        "BASE_LR": finetune.BASE_LR,
        "LR_REFERENCE_BATCH": finetune.LR_REFERENCE_BATCH,
        "MAX_EPOCH": finetune.EPOCHS,
        "MOMENTUM": finetune.MOMENTUM,
        "NESTEROV": False,
        "WEIGHT_DECAY": finetune.WEIGHT_DECAY,
        "ZERO_WD_1D_PARAM": False,
        "CLIP_GRAD_L2NORM": 0.0,
    }


def identity(run: CfgNode) -> list[tuple[str, Any]]:
    """Return the keys that determine the results of a fine-tuning, without those that a resumed run may change."""
    kept = [(key, value) for key, value in flatten(run) if not is_free(key)]
    return sorted([*kept, *((f"FINETUNE.{key}", value) for key, value in flatten(run.TEST.FINETUNE))])
