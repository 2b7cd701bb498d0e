"""Keys of the experiment trackers, and their translation."""

import importlib.util
from pathlib import Path

from stica_pv.config import CfgNode, flatten
from stica_pv.config.keys import Key, declare_keys
from stica_pv.config.limits import one_of
from stica_pv.config.roles import OUTPUT
from stica_pv.credentials import with_credentials, without_credentials
from stica_pv.engine.trackers.mlflow import Mlflow
from stica_pv.engine.trackers.tensorboard import TensorBoard
from stica_pv.engine.trackers.tracker import Tracker
from stica_pv.engine.trackers.wandb import Wandb
from stica_pv.errors import UsageError
from stica_pv.registry import TRACKERS

EXTRAS = {"TENSORBOARD": "tensorboard", "WANDB": "wandb", "MLFLOW": "mlflow"}  # section: module, and extra
MODES = ("online", "offline")

declare_keys(
    __name__,
    "",
    OUTPUT,
    Key("TRACKERS", [], "Further trackers of the metrics: names that modules of CUSTOM_IMPORTS registered."),
)
declare_keys(
    __name__,
    "TENSORBOARD",
    OUTPUT,
    Key("ENABLE", False, "Whether metrics are written for TensorBoard."),
    Key("LOG_DIR", "", "Folder of the TensorBoard files; empty takes OUTPUT_DIR/tensorboard."),
)
declare_keys(
    __name__,
    "WANDB",
    OUTPUT,
    Key("ENABLE", False, "Whether metrics are sent to Weights & Biases."),
    Key("PROJECT", "stica_pv", "Project in Weights & Biases."),
    Key("MODE", "online", "Offline records stay in OUTPUT_DIR/wandb until `wandb sync`.", one_of(*MODES)),
)
declare_keys(
    __name__,
    "MLFLOW",
    OUTPUT,
    Key("ENABLE", False, "Whether metrics are sent to MLflow."),
    Key(
        "TRACKING_URI",
        "",
        "Address of the MLflow server, whose password is never written; empty takes the file OUTPUT_DIR/mlflow.db.",
    ),
    Key("EXPERIMENT", "stica_pv", "Experiment in MLflow."),
)


def check_trackers(cfg: CfgNode) -> None:
    """Checks that the libraries of enabled trackers are installed, and that trackers of other modules are registered.

    Raises:
        UsageError: One is not; the message names the extra to install, or the registered trackers.
    """
    for name in cfg.TRACKERS:
        TRACKERS.get(name)
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
    own = [TRACKERS.build(name, folder=folder, resume_step=resume_step, config=keys) for name in cfg.TRACKERS]
    return [*trackers, *own]
