"""Starts a run on this machine: in this process, as one of torchrun's, or as one of several that are started here."""

import contextlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from stica_pv.config import CfgNode
from stica_pv.errors import UsageError
from stica_pv.launch.logs import end_progress, set_up_logging
from stica_pv.launch.memory import keep_freed_memory

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT = timedelta(minutes=10)
LAST_WORD_S = 5.0

Job = Callable[[CfgNode, torch.device], Any]


@dataclass(frozen=True)
class Place:
    """Where one process of a run stands.

    Attributes:
        rank: Among all processes.
        local_rank: On this machine.
        world_size: Number of processes.
        init_method: Where they meet.
        gpu: Whether it runs on GPU `local_rank`.
        log_dir: Folder of its log file; "" for none.
    """

    rank: int
    local_rank: int
    world_size: int
    init_method: str
    gpu: bool
    log_dir: str


def launch(job: Job, cfg: CfgNode, *, init_method: str | None = None, log_to_file: bool = True) -> Any:
    """Runs ``job(cfg, device)`` on every process that the configuration or the environment asks for.

    Args:
        job: A function that can be pickled.
        cfg: The configuration.
        init_method: Where the processes of several machines meet, e.g. ``tcp://host:9999``.
        log_to_file: Write the log into OUTPUT_DIR too.

    Returns:
        The job's result; None where other processes ran it.
    """
    gpus, log_dir = count_gpus(cfg), cfg.OUTPUT_DIR if log_to_file else ""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", rank))
        return _enter(local, job, cfg, Place(rank, local, world, "env://", gpus > 0, log_dir))
    here = gpus or cfg.CPU_PROCESSES
    world = here * cfg.NUM_SHARDS
    if here < 1 or not 0 <= cfg.SHARD_ID < cfg.NUM_SHARDS:
        raise UsageError(
            f"expected CPU_PROCESSES >= 1 and 0 <= SHARD_ID < NUM_SHARDS, "
            f"got {cfg.CPU_PROCESSES}, {cfg.SHARD_ID}, {cfg.NUM_SHARDS}"
        )
    if cfg.NUM_SHARDS > 1 and init_method is None:
        raise UsageError("NUM_SHARDS > 1 needs --init_method tcp://<host of shard 0>:<port>, the same on every machine")
    method = init_method or f"tcp://127.0.0.1:{_free_port()}"
    places = [Place(cfg.SHARD_ID * here + i, i, world, method, gpus > 0, log_dir) for i in range(here)]
    if here == 1:
        return _enter(0, job, cfg, places[0])
    _spawn(job, cfg, places)
    return None


def _spawn(job: Job, cfg: CfgNode, places: list[Place]) -> None:
    """Runs the job in a process for each place; SIGTERM is passed on to them, and they end by themselves."""
    logging.getLogger(spawn.__module__).setLevel(logging.ERROR)  # that it ends the others after an error says nothing
    context = spawn(_enter_place, args=(job, cfg, places), nprocs=len(places), join=False)

    def pass_on(number: int, frame: FrameType | None) -> None:
        for pid in context.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    in_main = threading.current_thread() is threading.main_thread()  # elsewhere Python refuses handlers
    previous = signal.signal(signal.SIGTERM, pass_on) if in_main else None
    try:
        while not context.join():
            pass
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, previous)


def count_gpus(cfg: CfgNode) -> int:
    """Number of GPUs to use on this machine; refuses more than there are."""
    present = torch.cuda.device_count()
    if present < cfg.NUM_GPUS:
        raise UsageError(
            f"NUM_GPUS {cfg.NUM_GPUS}: this machine has {present}; use NUM_GPUS {present or '0 (the CPU)'}"
        )
    return present if cfg.NUM_GPUS < 0 else int(cfg.NUM_GPUS)


def _enter_place(local_rank: int, job: Job, cfg: CfgNode, places: list[Place]) -> None:
    _enter(local_rank, job, cfg, places[local_rank])


def _enter(local_rank: int, job: Job, cfg: CfgNode, place: Place) -> Any:
    set_up_logging(place.log_dir, place.rank)
    try:
        return _run_job(local_rank, job, cfg, place)
    finally:
        end_progress()


def _run_job(local_rank: int, job: Job, cfg: CfgNode, place: Place) -> Any:
    device = torch.device("cuda", local_rank) if place.gpu else torch.device("cpu")
    if place.gpu:
        torch.cuda.set_device(device)
    else:
        keep_freed_memory()
    if place.world_size == 1:
        return job(cfg, device)
    logger.info("process %d of %d on %s, %s", place.rank, place.world_size, socket.gethostname(), device)
    try:
        dist.init_process_group(
            "nccl" if place.gpu else "gloo",
            init_method=place.init_method,
            rank=place.rank,
            world_size=place.world_size,
            timeout=CONNECT_TIMEOUT,
        )
        # Nobody goes on, and perhaps ends, while another is still connecting to it.
        dist.barrier(device_ids=[place.local_rank] if place.gpu else None)
    except (RuntimeError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"process {place.rank} of {place.world_size} did not meet the others at {place.init_method}: "
            f"{' '.join(str(error).split())}; is each SHARD_ID given once, the address reachable, the port free?"
        ) from error
    try:
        return job(cfg, device)
    except RuntimeError:
        time.sleep(LAST_WORD_S)  # most often the echo of another process' error, which is to be reported first
        raise
    finally:
        dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
