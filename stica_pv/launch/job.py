"""The job that a cluster runs: each process calls it, in each attempt."""

import logging
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
import torch
import yaml
from submitit.helpers import DelayedSubmission, TorchDistributedEnvironment

from stica_pv.config import CfgNode
from stica_pv.distributed import HEARTBEAT
from stica_pv.engine.signals import ON_A_CLUSTER, Interrupted, SignalRequest, Signals
from stica_pv.errors import RunFailed, RunStopped, UsageError
from stica_pv.launch.process import run_process
from stica_pv.launch.process_spec import spec_from_environment
from stica_pv.launch.requeue import Submission, write_failure
from stica_pv.launch.snapshot import check_import
from stica_pv.temporary_folder import keep_sockets_together
from stica_pv.workflows.run import run

logger = logging.getLogger(__name__)

PORTS = (20_000, 32_000)  # below those that systems give to outgoing connections


@dataclass(frozen=True)
class ClusterJob:
    """One run as submitit pickles it: plain values only.

    Attributes:
        config: The resolved configuration, as YAML.
        submission: Folder of the submission; its folder ``code`` holds the code.
        number: Index of the run among those submitted together.
        profile_steps: See `stica_pv.workflows.run.run`.
    """

    config: str
    submission: str
    number: int
    profile_steps: int = 0

    def __call__(self) -> dict[str, float]:
        """Runs in this process, one of several; returns the results of the evaluations."""
        environment = submitit.JobEnvironment()
        environment.paths.result_pickle.unlink(missing_ok=True)  # of an earlier attempt
        submission = Submission(Path(self.submission), self.number)
        with Signals(ON_A_CLUSTER) as signals:
            try:
                return self._run(submission)
            except (RunStopped, Interrupted, RunFailed) as end:
                if signals.request < SignalRequest.REQUEUE and signals.agreed < SignalRequest.REQUEUE:
                    raise
                logger.info("stopped for a requeue: %s", str(end) or "no step was running")
            # No result and no error is written: the job continues after the requeue.
            if environment.global_rank == 0:
                environment._requeue(0)
            raise SystemExit(0)

    def checkpoint(self) -> DelayedSubmission:
        """Answers submitit, which calls this on a signal before `__call__` has begun: submit the same job again."""
        return DelayedSubmission(self)

    def _run(self, submission: Submission) -> dict[str, float]:
        cfg = CfgNode(yaml.safe_load(self.config))
        cfg.freeze()
        keep_sockets_together()

        def record_failure(reason: str) -> None:
            write_failure(submission, HEARTBEAT.step, reason)

        try:
            check_import(submission.code)
            _export_environment(submission.token)
        except UsageError as error:
            record_failure(f"UsageError: {error}")
            raise
        gpu = cfg.SUBMITIT.GPUS_PER_NODE > 0
        spec = spec_from_environment(os.environ, gpu=gpu, log_dir=cfg.OUTPUT_DIR, token=submission.token)
        assert spec is not None, "submitit's environment names a rank"
        if gpu and spec.local_rank >= torch.cuda.device_count():
            reason = (
                f"process {spec.rank} has local rank {spec.local_rank}, but its node has "
                f"{torch.cuda.device_count()} visible GPUs: SUBMITIT.GPUS_PER_NODE is {cfg.SUBMITIT.GPUS_PER_NODE}"
            )
            record_failure(f"UsageError: {reason}")
            raise UsageError(reason)
        profile = self.profile_steps

        def job(cfg: CfgNode, device: torch.device) -> Any:
            return run(cfg, device, profile_steps=profile)

        return {name: float(value) for name, value in _flat(run_process(job, cfg, spec, on_failure=record_failure))}


def _flat(results: Any, prefix: str = "") -> list[tuple[str, float]]:
    """Returns the numbers of nested dicts by joined names."""
    if not isinstance(results, dict):
        return [(prefix, results)] if isinstance(results, int | float) else []
    return [pair for name, value in results.items() for pair in _flat(value, f"{prefix}/{name}" if prefix else name)]


def _export_environment(token: str) -> None:
    """Sets the variables that `torch.distributed` reads; each attempt of a job has a secret port of its own."""
    attempt = os.environ.get("SLURM_RESTART_COUNT", "0")
    os.environ["MASTER_PORT"] = str(random.Random(f"{token} {attempt}").randint(*PORTS))
    TorchDistributedEnvironment().export(set_cuda_visible_devices=False, overwrite=True)
