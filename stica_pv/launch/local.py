"""Starts a run on this machine: in this process, as a process of torchrun, or in several processes started here."""

import os
from typing import Any

from stica_pv.config import CfgNode
from stica_pv.errors import UsageError
from stica_pv.launch.process import RunFunction, run_process
from stica_pv.launch.process_spec import ENVIRONMENT, ProcessSpec, count_gpus, spec_from_environment, specs_of_machine
from stica_pv.launch.processes import run_processes
from stica_pv.temporary_folder import keep_sockets_together


def launch(job: RunFunction, cfg: CfgNode, *, init_method: str | None = None, log_to_file: bool = True) -> Any:
    """Runs ``job(cfg, device)`` on every process that the configuration or the environment asks for.

    Args:
        job: A function that can be pickled.
        cfg: The configuration.
        init_method: Rendezvous address of the processes of several machines, e.g. ``tcp://host:9999``.
        log_to_file: Whether to write the log to OUTPUT_DIR too.

    Returns:
        The job's result; None if other processes ran it.

    Raises:
        UsageError, RunStopped, RunFailed: What the job raised, in this process or another.
        SignalReceived: A signal ended it outside of training.
    """
    keep_sockets_together()
    log_dir = cfg.OUTPUT_DIR if log_to_file else ""
    gpus = count_gpus(cfg)
    spec = spec_from_environment(os.environ, gpu=gpus > 0, log_dir=log_dir)
    if spec is not None:
        _check_spec(spec, cfg, gpus, init_method)
        return run_process(job, cfg, spec)
    specs = specs_of_machine(cfg, init_method, log_dir)
    if len(specs) == 1:
        return run_process(job, cfg, specs[0])
    run_processes(job, cfg, specs)
    return None


def _check_spec(spec: ProcessSpec, cfg: CfgNode, gpus: int, init_method: str | None) -> None:
    """Refuses settings that would be ignored, because RANK and the other variables already define the process."""
    given = [f"NUM_SHARDS {cfg.NUM_SHARDS}"] if cfg.NUM_SHARDS > 1 else []
    given += [f"SHARD_ID {cfg.SHARD_ID}"] if cfg.SHARD_ID else []
    given += [f"--init_method {init_method}"] if init_method not in (None, ENVIRONMENT) else []
    if given:
        raise UsageError(
            f"{given[0]} cannot be combined with RANK {spec.rank} of the environment, which torchrun sets and which "
            "connects machines by its own --nnodes; remove one of them"
        )
    if spec.gpu and spec.local_rank >= gpus:
        raise UsageError(
            f"process {spec.rank} has local rank {spec.local_rank}, but {gpus} GPUs are used on this machine: "
            f"start {gpus} processes (torchrun --nproc-per-node {gpus}), or set NUM_GPUS 0"
        )
