"""Keys of the experiment trackers, and their translation."""

import importlib.util
from pathlib import Path

from stica_pv.config import CfgNode, flatten, section
from stica_pv.config.limits import declare_limits, one_of
from stica_pv.credentials import with_credentials, without_credentials
from stica_pv.engine.trackers.mlflow import Mlflow
from stica_pv.engine.trackers.tensorboard import TensorBoard
from stica_pv.engine.trackers.tracker import Tracker
from stica_pv.engine.trackers.wandb import Wandb
from stica_pv.errors import UsageError

EXTRAS = {"TENSORBOARD": "tensorboard", "WANDB": "wandb", "MLFLOW": "mlflow"}  # section: module, and extra
MODES = ("online", "offline")


def add_tracker_config(cfg: CfgNode) -> None:
    """Declares TENSORBOARD, WANDB and MLFLOW."""
    tensorboard = section(cfg, "TENSORBOARD")
    tensorboard.ENABLE = False
    tensorboard.LOG_DIR = ""  # default: OUTPUT_DIR/tensorboard
    wandb = section(cfg, "WANDB")
    wandb.ENABLE = False
    wandb.PROJECT = "stica_pv"
    wandb.MODE = "online"  # online | offline: kept in OUTPUT_DIR/wandb until `wandb sync`
    mlflow = section(cfg, "MLFLOW")
    mlflow.ENABLE = False
    mlflow.TRACKING_URI = ""  # of a server; default: the file OUTPUT_DIR/mlflow.db. A password in it is not written
    mlflow.EXPERIMENT = "stica_pv"


def check_trackers(cfg: CfgNode) -> None:
    """Checks that the libraries of enabled trackers are installed.

    Raises:
        UsageError: One is not; the message names the extra to install.
    """
    for name, extra in EXTRAS.items():
        if cfg[name].ENABLE and importlib.util.find_spec(extra) is None:
            raise UsageError(f"{name}.ENABLE needs the extra: pip install 'stica_pv[{extra}]'")


def trackers_from_config(cfg: CfgNode, folder: Path, resume_step: int) -> list[Tracker]:
    """Opens the enabled trackers for a run in `folder` that resumes at `resume_step`."""
    check_trackers(cfg)
    trackers: list[Tracker] = []
    keys = {key: without_credentials(str(v)) if isinstance(v, str) else v for key, v in flatten(cfg)}
    if cfg.TENSORBOARD.ENABLE:
        log_dir = Path(cfg.TENSORBOARD.LOG_DIR or folder / "tensorboard")
        trackers.append(TensorBoard(log_dir, resume_step=resume_step))
    if cfg.WANDB.ENABLE:
        trackers.append(Wandb(folder, project=cfg.WANDB.PROJECT, mode=cfg.WANDB.MODE, config=keys))
    if cfg.MLFLOW.ENABLE:
        given = cfg.MLFLOW.TRACKING_URI and with_credentials("MLFLOW.TRACKING_URI", cfg.MLFLOW.TRACKING_URI)
        uri = given or f"sqlite:///{(folder / 'mlflow.db').absolute()}"
        trackers.append(Mlflow(folder, uri=uri, experiment=cfg.MLFLOW.EXPERIMENT, config=keys))
    return trackers


declare_limits({"WANDB.MODE": one_of(*MODES)})
