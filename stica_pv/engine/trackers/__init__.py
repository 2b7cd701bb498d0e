"""Experiment trackers as optional extras with one interface: TensorBoard, W&B, MLflow."""

from stica_pv.engine.trackers.config import check_trackers, trackers_from_config
from stica_pv.engine.trackers.tracker import Tracker

__all__ = ["Tracker", "check_trackers", "trackers_from_config"]
