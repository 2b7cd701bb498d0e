"""Starts a run on this machine: in this process, as one of torchrun's, or as one of several that are started here."""

import os
from typing import Any

from stica_pv.config import CfgNode
from stica_pv.errors import UsageError
from stica_pv.launch.process import Job, enter
from stica_pv.launch.process_spec import ENVIRONMENT, ProcessSpec, count_gpus, spec_from_environment, specs_of_machine
from stica_pv.launch.processes import run_processes
from stica_pv.temporary_folder import keep_sockets_together


def launch(job: Job, cfg: CfgNode, *, init_method: str | None = None, log_to_file: bool = True) -> Any:
    """Runs ``job(cfg, device)`` on every process that the configuration or the environment asks for.

    Args:
        job: A function that can be pickled.
        cfg: The configuration.
        init_method: Where the processes of several machines meet, e.g. ``tcp://host:9999``.
        log_to_file: Write the log into OUTPUT_DIR too.

    Returns:
        The job's result; None where other processes ran it.

    Raises:
        UsageError, RunStopped, RunFailed: What the job raised, in this process or another.
        SignalReceived: A signal ended it outside of training.
    """
    keep_sockets_together()
    log_dir = cfg.OUTPUT_DIR if log_to_file else ""
    gpus = count_gpus(cfg)
    place = spec_from_environment(os.environ, gpu=gpus > 0, log_dir=log_dir)
    if place is not None:
        _check_place(place, cfg, gpus, init_method)
        return enter(job, cfg, place)
    places = specs_of_machine(cfg, init_method, log_dir)
    if len(places) == 1:
        return enter(job, cfg, places[0])
    run_processes(job, cfg, places)
    return None


def _check_place(place: ProcessSpec, cfg: CfgNode, gpus: int, init_method: str | None) -> None:
    """Refuses what would be passed over, since RANK and its like say where a process stands."""
    given = [f"NUM_SHARDS {cfg.NUM_SHARDS}"] if cfg.NUM_SHARDS > 1 else []
    given += [f"SHARD_ID {cfg.SHARD_ID}"] if cfg.SHARD_ID else []
    given += [f"--init_method {init_method}"] if init_method not in (None, ENVIRONMENT) else []
    if given:
        raise UsageError(
            f"{given[0]} goes not with RANK {place.rank} in the environment: torchrun, which sets it, brings the "
            "machines together (--nnodes); leave the one away, or unset the other"
        )
    if place.gpu and place.local_rank >= gpus:
        raise UsageError(
            f"process {place.rank} is number {place.local_rank} of its machine, where {gpus} GPUs are to be used: "
            f"start {gpus} processes (torchrun --nproc-per-node {gpus}), or set NUM_GPUS 0"
        )
