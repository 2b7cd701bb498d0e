"""The training loop with optimizers, schedules, checkpoints and records; independent of the method."""

from stica_pv.engine.checkpoint import load_checkpoint, load_latest, load_weights, save_checkpoint
from stica_pv.engine.loop import LoopSettings, TrainState, train, train_step
from stica_pv.engine.meter import Clock, Meter
from stica_pv.engine.optimizer import create_optimizer
from stica_pv.engine.records import Records, read_metrics
from stica_pv.engine.schedule import create_schedule

__all__ = [
    "Clock",
    "LoopSettings",
    "Meter",
    "Records",
    "TrainState",
    "create_optimizer",
    "create_schedule",
    "load_checkpoint",
    "load_latest",
    "load_weights",
    "read_metrics",
    "save_checkpoint",
    "train",
    "train_step",
]
