"""One process of a run: sets up log, device, signals, rendezvous and watchdog, then runs the job."""

import logging
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

import stica_pv.defaults  # noqa: F401 - registers the components of the package
from stica_pv.config import CfgNode
from stica_pv.config.imports import import_components
from stica_pv.credentials import without_credentials
from stica_pv.distributed import HEARTBEAT, connect, disconnect
from stica_pv.engine.signals import requeue_asked, signals_of_run
from stica_pv.errors import PeerFailed, RunFailed, RunStopped
from stica_pv.launch.logs import set_up_logging
from stica_pv.launch.memory import keep_freed_memory
from stica_pv.launch.process_spec import ENVIRONMENT, ProcessSpec
from stica_pv.launch.rendezvous import rendezvous
from stica_pv.launch.watchdog import Limits, Watchdog, is_echo

logger = logging.getLogger(__name__)

REPORT_WAIT_S = 5.0
# The watchdog ends operations that wait too long; one may wait while the main process reads a million headers.
NEVER = timedelta(days=30)
# Interface of gloo and NCCL if all processes are on one machine, unless the user sets another one.
LOOPBACK_DEVICE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}

RunFunction = Callable[[CfgNode, torch.device], Any]


def ignore_failure(reason: str) -> None:
    """Does nothing: the callback of runs that record no failure."""


def run_process(
    job: RunFunction, cfg: CfgNode, spec: ProcessSpec, *, on_failure: Callable[[str], None] = ignore_failure
) -> Any:
    """Runs ``job(cfg, device)`` as one process of a run.

    Args:
        job: Function to run.
        cfg: The configuration.
        spec: This process.
        on_failure: Called with the failure reason, perhaps of another process, before this one ends.

    Returns:
        The result of the job.

    Raises:
        PeerFailed: Another process failed; the message says which and why. The job's own errors pass through.
        SignalReceived: A signal ended it outside of training.
    """
    set_up_logging(spec.log_dir, spec.rank)
    with signals_of_run():
        if spec.gpu:
            torch.cuda.set_device(spec.device)
        else:
            keep_freed_memory()
        if spec.world_size == 1:
            logger.info("process 0 of 1: %s", spec.describe())
            return _alone(job, cfg, spec, on_failure)
        return _with_others(job, cfg, spec, on_failure)


def _alone(job: RunFunction, cfg: CfgNode, spec: ProcessSpec, on_failure: Callable[[str], None]) -> Any:
    try:
        return _run_job(job, cfg, spec)
    except RunStopped:
        raise
    except Exception as error:
        on_failure(_describe(error))
        raise


def _with_others(job: RunFunction, cfg: CfgNode, spec: ProcessSpec, on_failure: Callable[[str], None]) -> Any:
    for name, device in LOOPBACK_DEVICE.items() if spec.one_machine else ():
        os.environ.setdefault(name, device)
    limits = Limits(
        cfg.DIST.HEARTBEAT_TIMEOUT_SECONDS, 60 * cfg.DIST.STEP_TIMEOUT_MINUTES, 60 * cfg.DIST.RENDEZVOUS_TIMEOUT_MINUTES
    )
    try:
        connection = rendezvous(spec, spec.describe(), limits.rendezvous_timeout_s, Path(cfg.OUTPUT_DIR))
    except Exception as error:
        on_failure(_describe(error))
        raise
    for rank, hello in enumerate(connection.hellos):
        logger.info("process %d of %d: %s", rank, spec.world_size, hello)
    if spec.rank:
        logger.info("process %d of %d: %s", spec.rank, spec.world_size, spec.describe())
    with Watchdog(connection.watch, spec, limits, on_failure) as watchdog:
        HEARTBEAT.record()
        try:
            connect("nccl" if spec.gpu else "gloo", connection.store, spec.rank, spec.world_size, NEVER)
            watchdog.connected()
            return _run_job(job, cfg, spec)
        except RunStopped:
            raise
        except Exception as error:
            if requeue_asked():  # other processes may have ended already
                raise RunFailed(f"stopped by a requeue request: {_describe(error)}") from error
            reason = without_credentials(watchdog.explain(error))
            on_failure(reason)
            if not is_echo(error):
                raise
            if spec.init_method == ENVIRONMENT:  # srun and torchrun report the process that ends first
                time.sleep(REPORT_WAIT_S)
            raise PeerFailed(reason) from error
        finally:
            disconnect()


def _run_job(job: RunFunction, cfg: CfgNode, spec: ProcessSpec) -> Any:
    """Runs the job after importing the components of the user: a new process has those that its job imports alone."""
    import_components(cfg.CUSTOM_IMPORTS)
    return job(cfg, spec.device)


def _describe(error: Exception) -> str:
    return without_credentials(f"{type(error).__name__}: {' '.join(str(error).split())}")
