"""Keys of the loop and the solver, and their translation."""

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from stica_pv.config import CfgNode, section
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, declare_limits, one_of
from stica_pv.distributed import world_size
from stica_pv.engine.lars import MASKS
from stica_pv.engine.loop import LoopSettings
from stica_pv.engine.optimizer import OPTIMIZERS, Group, create_optimizer
from stica_pv.engine.schedule import POLICIES, Schedule, create_schedule
from stica_pv.errors import UsageError, check_choice

AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def add_engine_config(cfg: CfgNode) -> None:
    """Declares TRAIN, SOLVER and REPORT."""
    cfg.RNG_SEED = 0
    cfg.LOG_PERIOD = 10  # steps

    train = section(cfg, "TRAIN")
    train.ENABLE = True
    train.BATCH_SIZE = 64  # global: the sum over all processes
    train.GRAD_CACHE_CHUNK = 0  # videos embedded at a time on each process (gradient caching); 0: the whole batch
    train.MAX_STEPS = 0  # last step; the schedule still spans SOLVER.MAX_EPOCH. 0: run to its end
    train.AUTO_RESUME = True
    train.CHECKPOINT_PERIOD = 1  # epochs
    train.CHECKPOINT_MINUTES = 30.0  # longest time between checkpoints, so the most work that can be lost
    train.CHECKPOINT_KEEP = 2  # newest files kept
    train.CHECKPOINT_KEEP_EVERY = 0  # epochs; checkpoints after multiples of it are never deleted. 0: none
    train.CHECKPOINT_FILE_PATH = ""  # initial weights
    train.CHECKPOINT_MIN_MATCH = 0.5  # share of the tensors that must be found in them
    train.COMPILE = False  # torch.compile of all networks of the task
    train.MIXED_PRECISION = False
    train.AMP_DTYPE = "bf16"  # bf16 | fp16

    solver = section(cfg, "SOLVER")
    solver.OPTIMIZING_METHOD = "sgd"  # sgd | adamw | lars
    solver.BASE_LR = 0.01  # for LR_REFERENCE_BATCH samples
    solver.LR_REFERENCE_BATCH = 8  # lr = BASE_LR × BATCH_SIZE / this; 0: BASE_LR as it is
    solver.LR_POLICY = "constant"  # constant | cosine | steps_with_relative_lrs
    solver.MAX_EPOCH = 151
    solver.WARMUP_EPOCHS = 10.0
    solver.WARMUP_START_LR = 0.01
    solver.COSINE_END_LR = 0.0
    solver.COSINE_AFTER_WARMUP = True  # False: the cosine spans the warm-up too, which ends below BASE_LR
    solver.STEPS = []  # epochs
    solver.LRS = []  # factors
    solver.MOMENTUM = 0.9
    solver.NESTEROV = False
    solver.BETAS = [0.9, 0.999]
    solver.WEIGHT_DECAY = 1e-5
    solver.ZERO_WD_1D_PARAM = False  # for sgd and adamw; lars has LARS_MASK
    solver.LARS_MASK = "intended"  # intended | released: parameters with decay and trust ratio in lars
    solver.LARS_TRUST = 0.001  # its trust coefficient
    solver.CLIP_GRAD_L2NORM = 0.0  # 0: no clipping
    solver.FUSED = False  # the optimizer's fused kernels

    report = section(cfg, "REPORT")
    report.ENABLE = False  # OUTPUT_DIR/report.html at the end of the run


def check_batch(cfg: CfgNode) -> None:
    """Refuses batches that are too small for a contrastive loss or do not divide over the processes."""
    batch, processes = cfg.TRAIN.BATCH_SIZE, world_size()
    if batch < 2:
        raise UsageError(
            f"TRAIN.BATCH_SIZE {batch}: a contrastive loss and batch-norm need at least 2 videos in the global batch"
        )
    if batch % processes:
        raise UsageError(
            f"TRAIN.BATCH_SIZE {batch} (global) does not divide over {processes} processes: "
            f"try {max(1, batch // processes) * processes}"
        )
    if cfg.DATA.SHUFFLE_AUDIO and batch == processes:
        raise UsageError(f"DATA.SHUFFLE_AUDIO needs at least 2 clips per process: raise TRAIN.BATCH_SIZE {batch}")


def peak_lr(cfg: CfgNode) -> float:
    """Returns the learning rate scaled to the global batch."""
    reference = cfg.SOLVER.LR_REFERENCE_BATCH
    return float(cfg.SOLVER.BASE_LR * (cfg.TRAIN.BATCH_SIZE / reference if reference else 1.0))


def schedule_from_config(cfg: CfgNode, steps_per_epoch: int) -> Schedule:
    """Builds the learning rate of every step."""
    solver = cfg.SOLVER
    return create_schedule(
        policy=solver.LR_POLICY,
        base_lr=peak_lr(cfg),
        total_steps=solver.MAX_EPOCH * steps_per_epoch,
        warmup_steps=round(solver.WARMUP_EPOCHS * steps_per_epoch),
        warmup_start_lr=min(solver.WARMUP_START_LR, peak_lr(cfg)),
        cosine_end_lr=solver.COSINE_END_LR,
        cosine_after_warmup=solver.COSINE_AFTER_WARMUP,
        milestones=[round(epoch * steps_per_epoch) for epoch in solver.STEPS],
        factors=solver.LRS,
    )


def optimizer_from_config(cfg: CfgNode, groups: Sequence[Group]) -> Optimizer:
    """Builds the optimizer."""
    solver = cfg.SOLVER
    if len(solver.BETAS) != 2:
        raise UsageError(f"SOLVER.BETAS: expected two numbers, got {solver.BETAS}")
    return create_optimizer(
        groups,
        method=solver.OPTIMIZING_METHOD,
        momentum=solver.MOMENTUM,
        nesterov=solver.NESTEROV,
        betas=tuple(solver.BETAS),
        weight_decay=solver.WEIGHT_DECAY,
        decay_1d=not solver.ZERO_WD_1D_PARAM,
        fused=solver.FUSED,
        lars_mask=solver.LARS_MASK,
        lars_trust=solver.LARS_TRUST,
    )


def check_solver(cfg: CfgNode, groups: Sequence[Group], device: torch.device) -> None:
    """Checks the keys of the solver by building from them, before any file is read."""
    if amp_dtype_from_config(cfg) is torch.bfloat16 and device.type == "cpu":
        # Observed with torch 2.13: weight gradients of bf16 conv3d of some shapes contain uninitialized memory.
        raise UsageError(
            "TRAIN.AMP_DTYPE bf16 needs a GPU, since torch's bf16 convolutions give wrong gradients on the CPU: "
            "set TRAIN.MIXED_PRECISION False"
        )
    schedule_from_config(cfg, steps_per_epoch=1)
    optimizer_from_config(cfg, groups)


def amp_dtype_from_config(cfg: CfgNode) -> torch.dtype | None:
    """Returns the autocast type, or None for fp32."""
    name = check_choice("TRAIN.AMP_DTYPE", cfg.TRAIN.AMP_DTYPE, AMP_DTYPES)
    return AMP_DTYPES[name] if cfg.TRAIN.MIXED_PRECISION else None


def loop_settings_from_config(cfg: CfgNode, steps_per_epoch: int, total_steps: int) -> LoopSettings:
    """Builds the settings of the loop."""
    if min(cfg.LOG_PERIOD, cfg.TRAIN.CHECKPOINT_PERIOD, cfg.TRAIN.CHECKPOINT_KEEP) < 1:
        raise UsageError("LOG_PERIOD, TRAIN.CHECKPOINT_PERIOD and TRAIN.CHECKPOINT_KEEP must be >= 1")
    return LoopSettings(
        seed=cfg.RNG_SEED,
        total_steps=total_steps,
        log_period=cfg.LOG_PERIOD,
        checkpoint_steps=cfg.TRAIN.CHECKPOINT_PERIOD * steps_per_epoch,
        checkpoint_minutes=cfg.TRAIN.CHECKPOINT_MINUTES,
        clip_grad=cfg.SOLVER.CLIP_GRAD_L2NORM,
        amp_dtype=amp_dtype_from_config(cfg),
    )


declare_limits(
    {
        "RNG_SEED": NOT_NEGATIVE,
        "LOG_PERIOD": AT_LEAST_ONE,
        "TRAIN.BATCH_SIZE": Limits(low=2),
        "TRAIN.GRAD_CACHE_CHUNK": NOT_NEGATIVE,
        "TRAIN.MAX_STEPS": NOT_NEGATIVE,
        "TRAIN.CHECKPOINT_PERIOD": AT_LEAST_ONE,
        "TRAIN.CHECKPOINT_MINUTES": POSITIVE,
        "TRAIN.CHECKPOINT_KEEP": AT_LEAST_ONE,
        "TRAIN.CHECKPOINT_KEEP_EVERY": NOT_NEGATIVE,
        "TRAIN.CHECKPOINT_MIN_MATCH": SHARE,
        "TRAIN.AMP_DTYPE": one_of(*AMP_DTYPES),
        "SOLVER.OPTIMIZING_METHOD": one_of(*OPTIMIZERS),
        "SOLVER.BASE_LR": Limits(low=0, high=1000),
        "SOLVER.LR_REFERENCE_BATCH": NOT_NEGATIVE,
        "SOLVER.LR_POLICY": one_of(*POLICIES),
        "SOLVER.MAX_EPOCH": AT_LEAST_ONE,
        "SOLVER.WARMUP_EPOCHS": NOT_NEGATIVE,
        "SOLVER.WARMUP_START_LR": NOT_NEGATIVE,
        "SOLVER.COSINE_END_LR": NOT_NEGATIVE,
        "SOLVER.STEPS": NOT_NEGATIVE,
        "SOLVER.LRS": NOT_NEGATIVE,
        "SOLVER.MOMENTUM": SHARE,
        "SOLVER.BETAS": Limits(low=0, high=1, count=2),
        "SOLVER.WEIGHT_DECAY": NOT_NEGATIVE,
        "SOLVER.LARS_MASK": one_of(*MASKS),
        "SOLVER.LARS_TRUST": POSITIVE,
        "SOLVER.CLIP_GRAD_L2NORM": NOT_NEGATIVE,
    }
)
