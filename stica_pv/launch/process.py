"""One process of a run: its log, its device, its peers, then the job."""

import logging
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from stica_pv.config import CfgNode
from stica_pv.credentials import without_credentials
from stica_pv.distributed import HEARTBEAT, connect, disconnect
from stica_pv.engine.signals import requeue_asked, signals_of_run
from stica_pv.errors import PeerFailed, RunFailed, RunStopped
from stica_pv.launch.logs import end_progress, set_up_logging
from stica_pv.launch.memory import keep_freed_memory
from stica_pv.launch.process_spec import ENVIRONMENT, ProcessSpec
from stica_pv.launch.rendezvous import meet
from stica_pv.launch.watchdog import Limits, Peers, is_echo

logger = logging.getLogger(__name__)

LAST_WORD_S = 5.0
# The watch ends what waits too long; an operation itself may wait while the main process reads a million headers.
NEVER = timedelta(days=30)
# Through what processes of one machine reach each other: where gloo and NCCL listen, unless the user says otherwise.
LOOPBACK_DEVICE = {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}

Job = Callable[[CfgNode, torch.device], Any]


def say_nothing(reason: str) -> None:
    """For runs where nobody asks why they failed."""


def enter(job: Job, cfg: CfgNode, place: ProcessSpec, *, on_failure: Callable[[str], None] = say_nothing) -> Any:
    """Runs ``job(cfg, device)`` as the process of a place.

    Args:
        job: The work.
        cfg: The configuration.
        place: Where this process stands.
        on_failure: Is told why the run failed, perhaps because of another process, before this one ends.

    Returns:
        What the job returns.

    Raises:
        PeerFailed: Another process failed; the message says which and why. The job's own errors pass through.
        SignalReceived: A signal ended it outside of training.
    """
    set_up_logging(place.log_dir, place.rank)
    try:
        with signals_of_run():
            if place.gpu:
                torch.cuda.set_device(place.device)
            else:
                keep_freed_memory()
            if place.world_size == 1:
                logger.info("process 0 of 1: %s", place.describe())
                return _alone(job, cfg, place, on_failure)
            return _among_peers(job, cfg, place, on_failure)
    finally:
        end_progress()


def _alone(job: Job, cfg: CfgNode, place: ProcessSpec, on_failure: Callable[[str], None]) -> Any:
    try:
        return job(cfg, place.device)
    except RunStopped:
        raise
    except Exception as error:
        on_failure(_in_words(error))
        raise


def _among_peers(job: Job, cfg: CfgNode, place: ProcessSpec, on_failure: Callable[[str], None]) -> Any:
    for name, device in LOOPBACK_DEVICE.items() if place.one_machine else ():
        os.environ.setdefault(name, device)
    limits = Limits(
        cfg.DIST.HEARTBEAT_TIMEOUT_SECONDS, 60 * cfg.DIST.STEP_TIMEOUT_MINUTES, 60 * cfg.DIST.RENDEZVOUS_TIMEOUT_MINUTES
    )
    try:
        meeting = meet(place, place.describe(), limits.connect_s, Path(cfg.OUTPUT_DIR))
    except Exception as error:
        on_failure(_in_words(error))
        raise
    for rank, greeting in enumerate(meeting.greetings):
        logger.info("process %d of %d: %s", rank, place.world_size, greeting)
    if place.rank:
        logger.info("process %d of %d: %s", place.rank, place.world_size, place.describe())
    with Peers(meeting.watch, place, limits, on_failure) as peers:
        HEARTBEAT.beat()
        try:
            connect("nccl" if place.gpu else "gloo", meeting.store, place.rank, place.world_size, NEVER)
            peers.connected()
            return job(cfg, place.device)
        except RunStopped:
            raise
        except Exception as error:
            if requeue_asked():  # others may have left already
                raise RunFailed(f"ended by a request to requeue: {_in_words(error)}") from error
            reason = without_credentials(peers.explain(error))
            on_failure(reason)
            if not is_echo(error):
                raise
            if place.init_method == ENVIRONMENT:  # srun and torchrun report the process that ends first
                time.sleep(LAST_WORD_S)
            raise PeerFailed(reason) from error
        finally:
            disconnect()


def _in_words(error: Exception) -> str:
    return without_credentials(f"{type(error).__name__}: {' '.join(str(error).split())}")
