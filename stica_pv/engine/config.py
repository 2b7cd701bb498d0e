"""Keys of the loop and the solver, and their translation."""

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from stica_pv.config import CfgNode
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, SHARE, Limits, one_of
from stica_pv.config.roles import FREE, OUTPUT, SCOPE, TRAINING
from stica_pv.distributed import world_size
from stica_pv.engine.lars import MASKS
from stica_pv.engine.loop import LoopSettings
from stica_pv.engine.optimizer import OPTIMIZERS, Group, create_optimizer
from stica_pv.engine.schedule import POLICIES, Schedule, create_schedule
from stica_pv.errors import UsageError

AMP_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

declare_keys(
    __name__,
    "",
    TRAINING,
    Key("RNG_SEED", 0, "Seed of all random numbers of the run.", NOT_NEGATIVE),
    Key("LOG_PERIOD", 10, "Steps between two records of the metrics.", AT_LEAST_ONE, role=OUTPUT),
)
declare_keys(
    __name__,
    "TRAIN",
    TRAINING,
    Key("ENABLE", True, "Whether the run trains.", role=SCOPE),
    Key(
        "BATCH_SIZE",
        64,
        "Global batch size, the sum over all processes; losses and batch-norm compare clips.",
        Limits(low=2),
    ),
    Key(
        "GRAD_CACHE_CHUNK",
        0,
        "Videos that each process embeds at a time (gradient caching); 0 embeds its whole batch.",
        NOT_NEGATIVE,
    ),
    Key(
        "MAX_STEPS",
        0,
        "Step after which training stops, while the schedule still spans SOLVER.MAX_EPOCH; 0 trains to the end.",
        NOT_NEGATIVE,
        role=SCOPE,
    ),
    Key("AUTO_RESUME", True, "Whether training continues from the newest checkpoint in OUTPUT_DIR.", role=FREE),
    Key("CHECKPOINT_PERIOD", 1, "Epochs between two checkpoints.", AT_LEAST_ONE, role=FREE),
    Key(
        "CHECKPOINT_MINUTES",
        30.0,
        "Longest time between two checkpoints in minutes, so the most work that can be lost.",
        POSITIVE,
        role=FREE,
    ),
    Key("CHECKPOINT_KEEP", 2, "Number of newest checkpoints that are kept.", AT_LEAST_ONE, role=FREE),
    Key(
        "CHECKPOINT_KEEP_EVERY",
        0,
        "Epochs; checkpoints after multiples of it are never deleted; 0 deletes all but the newest.",
        NOT_NEGATIVE,
        role=FREE,
    ),
    Key("CHECKPOINT_FILE_PATH", "", "File of initial weights; empty initializes at random."),
    Key(
        "CHECKPOINT_MIN_MATCH",
        0.5,
        "Smallest share of the tensors that must be in the file of initial weights.",
        SHARE,
    ),
    Key(
        "SHARD_PARAMETERS",
        False,
        "Whether weights, gradients and optimizer state are divided over the processes (FSDP2); its speed on GPUs is "
        "unmeasured.",
        role=FREE,
    ),
    Key("COMPILE", False, "Whether torch.compile compiles the networks of the task."),
    Key("MIXED_PRECISION", False, "Whether the networks run in AMP_DTYPE."),
    Key("AMP_DTYPE", "bf16", "Number format of mixed precision.", one_of(*AMP_DTYPES)),
)
declare_keys(
    __name__,
    "SOLVER",
    TRAINING,
    Key("OPTIMIZING_METHOD", "sgd", "Optimizer.", one_of(*OPTIMIZERS)),
    Key("BASE_LR", 0.01, "Peak learning rate for LR_REFERENCE_BATCH samples per step.", Limits(low=0, high=1000)),
    Key(
        "LR_REFERENCE_BATCH",
        8,
        "Batch size of BASE_LR, which is multiplied by TRAIN.BATCH_SIZE / LR_REFERENCE_BATCH; 0 takes it as it is.",
        NOT_NEGATIVE,
    ),
    Key("LR_POLICY", "constant", "Learning rate after warm-up.", one_of(*POLICIES)),
    Key("MAX_EPOCH", 151, "Number of epochs.", AT_LEAST_ONE),
    Key("WARMUP_EPOCHS", 10.0, "Length of the linear warm-up in epochs.", NOT_NEGATIVE),
    Key("WARMUP_START_LR", 0.01, "Learning rate at the start of warm-up, not above the peak.", NOT_NEGATIVE),
    Key("COSINE_END_LR", 0.0, "Learning rate at the end of a cosine.", NOT_NEGATIVE),
    Key(
        "COSINE_AFTER_WARMUP",
        True,
        "Whether the cosine starts after warm-up; if not, it spans the warm-up too, which ends below the peak.",
    ),
    Key("STEPS", [], "First epochs of the learning rates of LRS, for steps_with_relative_lrs.", NOT_NEGATIVE),
    Key("LRS", [], "Factors of the learning rate from each of STEPS on.", NOT_NEGATIVE),
    Key("MOMENTUM", 0.9, "Momentum of sgd and lars.", SHARE),
    Key("NESTEROV", False, "Whether sgd has Nesterov momentum."),
    Key("BETAS", [0.9, 0.999], "Decay rates of the moments of adamw.", Limits(low=0, high=1, count=2)),
    Key("WEIGHT_DECAY", 1e-5, "Weight decay.", NOT_NEGATIVE),
    Key(
        "ZERO_WD_1D_PARAM",
        False,
        "Whether sgd and adamw do not decay biases and normalization parameters; lars has LARS_MASK.",
    ),
    Key("LARS_MASK", "intended", "Parameters with weight decay and trust ratio in lars.", one_of(*MASKS)),
    Key("LARS_TRUST", 0.001, "Trust coefficient of lars.", POSITIVE),
    Key("CLIP_GRAD_L2NORM", 0.0, "Largest norm of the gradient; 0 does not clip.", NOT_NEGATIVE),
    Key("FUSED", False, "Whether the optimizer uses its fused kernels."),
)
declare_keys(
    __name__,
    "REPORT",
    OUTPUT,
    Key("ENABLE", False, "Whether OUTPUT_DIR/report.html is written at the end of the run."),
)


def check_batch(cfg: CfgNode) -> None:
    """Refuses batches that do not divide over the processes, or have no other clip to take audio from."""
    batch, processes = cfg.TRAIN.BATCH_SIZE, world_size()
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
    _check_sharding(cfg)
    schedule_from_config(cfg, steps_per_epoch=1)
    optimizer_from_config(cfg, groups)


def _check_sharding(cfg: CfgNode) -> None:
    """Refuses what divided weights are not known to work with."""
    if not cfg.TRAIN.SHARD_PARAMETERS:
        return
    others = {
        "TRAIN.GRAD_CACHE_CHUNK": bool(cfg.TRAIN.GRAD_CACHE_CHUNK),
        "TRAIN.COMPILE": cfg.TRAIN.COMPILE,
        "TRAIN.AMP_DTYPE fp16": amp_dtype_from_config(cfg) is torch.float16,
        "SOLVER.OPTIMIZING_METHOD lars": cfg.SOLVER.OPTIMIZING_METHOD == "lars",
        "SOLVER.FUSED": cfg.SOLVER.FUSED,
        "TEST.ONLINE_KNN_EPOCHS": bool(cfg.TEST.ONLINE_KNN_EPOCHS),
    }
    refused = [key for key, used in others.items() if used]
    if refused:
        raise UsageError(f"TRAIN.SHARD_PARAMETERS cannot be combined with {', '.join(refused)}; remove one of them")


def amp_dtype_from_config(cfg: CfgNode) -> torch.dtype | None:
    """Returns the autocast type, or None for fp32."""
    return AMP_DTYPES[cfg.TRAIN.AMP_DTYPE] if cfg.TRAIN.MIXED_PRECISION else None


def loop_settings_from_config(cfg: CfgNode, steps_per_epoch: int, total_steps: int) -> LoopSettings:
    """Builds the settings of the loop."""
    return LoopSettings(
        seed=cfg.RNG_SEED,
        total_steps=total_steps,
        log_period=cfg.LOG_PERIOD,
        checkpoint_steps=cfg.TRAIN.CHECKPOINT_PERIOD * steps_per_epoch,
        checkpoint_minutes=cfg.TRAIN.CHECKPOINT_MINUTES,
        clip_grad=cfg.SOLVER.CLIP_GRAD_L2NORM,
        amp_dtype=amp_dtype_from_config(cfg),
    )
