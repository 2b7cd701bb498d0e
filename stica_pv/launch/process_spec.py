"""The processes of a run: this process, one per device of this machine, or as defined by the environment."""

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

import stica_pv
from stica_pv.config import CfgNode
from stica_pv.errors import UsageError

ENVIRONMENT = "env://"
TCP = "tcp://"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class ProcessSpec:
    """One process of a run.

    Attributes:
        rank: Rank among all processes.
        local_rank: Rank on this machine.
        world_size: Number of processes.
        init_method: Rendezvous address: ``tcp://host:port``, or ``env://`` for MASTER_ADDR and MASTER_PORT; "" if the
            process that starts the others chooses it.
        gpu: Whether it runs on GPU `local_rank`.
        log_dir: Folder of the log file; "" for none.
        one_machine: Whether all processes run on this machine; nothing then accepts connections from others.
        hosted: Whether another process, which outlives process 0, hosts the store.
        token: Token of the run, see `stica_pv.launch.run_token`; "" if process 0 creates it.
    """

    rank: int
    local_rank: int
    world_size: int
    init_method: str
    gpu: bool
    log_dir: str
    one_machine: bool = False
    hosted: bool = False
    token: str = ""

    @property
    def device(self) -> torch.device:
        """Device of this process."""
        return torch.device("cuda", self.local_rank) if self.gpu else torch.device("cpu")

    def describe(self) -> str:
        """Returns host, device, usable CPUs, and the folder that the package was imported from."""
        return (
            f"{socket.gethostname()}, process id {os.getpid()}, {self.device}, "
            f"CPUs {ranges(sorted(os.sched_getaffinity(0)))}, stica_pv from {package_folder()}"
        )


def package_folder() -> Path:
    """Returns the folder that contains the imported package."""
    return Path(stica_pv.__file__).resolve().parent.parent


def ranges(numbers: list[int]) -> str:
    """Abbreviates ascending numbers: ``0-3,8``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ",".join("-".join(map(str, part)) for part in parts)


def spec_from_environment(
    variables: Mapping[str, str], *, gpu: bool, log_dir: str, token: str = ""
) -> ProcessSpec | None:
    """Returns the process that RANK, WORLD_SIZE and LOCAL_RANK define, as torchrun and submitit set them, or None."""
    if not ("RANK" in variables and "WORLD_SIZE" in variables):
        return None
    rank, world = int(variables["RANK"]), int(variables["WORLD_SIZE"])
    here = variables.get("LOCAL_WORLD_SIZE") == str(world)
    hosted = variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun hosts the store itself
    local = int(variables.get("LOCAL_RANK", rank))
    return ProcessSpec(rank, local, world, ENVIRONMENT, gpu, log_dir, one_machine=here, hosted=hosted, token=token)


def specs_of_machine(cfg: CfgNode, init_method: str | None, log_dir: str) -> list[ProcessSpec]:
    """Returns the processes of this machine, as set by NUM_GPUS, CPU_PROCESSES, NUM_SHARDS and SHARD_ID.

    Raises:
        UsageError: The numbers do not fit, or several machines have no rendezvous address.
    """
    gpus = count_gpus(cfg)
    here = gpus or cfg.CPU_PROCESSES
    if here < 1 or not 0 <= cfg.SHARD_ID < cfg.NUM_SHARDS:
        raise UsageError(
            f"expected CPU_PROCESSES >= 1 and 0 <= SHARD_ID < NUM_SHARDS, "
            f"got {cfg.CPU_PROCESSES}, {cfg.SHARD_ID}, {cfg.NUM_SHARDS}"
        )
    if cfg.NUM_SHARDS > 1 and init_method is None:
        raise UsageError("NUM_SHARDS > 1 needs --init_method tcp://<host of shard 0>:<port>, the same on every machine")
    if init_method is not None and not init_method.startswith((TCP, ENVIRONMENT)):
        raise UsageError(f"--init_method: got {init_method!r}, expected tcp://<host of shard 0>:<port>")
    world, alone = here * cfg.NUM_SHARDS, cfg.NUM_SHARDS == 1
    token = secrets.token_hex(16) if alone else ""
    return [
        ProcessSpec(
            cfg.SHARD_ID * here + i, i, world, init_method or "", gpus > 0, log_dir, one_machine=alone, token=token
        )
        for i in range(here)
    ]


def count_gpus(cfg: CfgNode) -> int:
    """Returns the number of GPUs to use on this machine; refuses more than exist."""
    present = torch.cuda.device_count()
    if present < cfg.NUM_GPUS:
        raise UsageError(
            f"NUM_GPUS {cfg.NUM_GPUS}: this machine has {present}; use NUM_GPUS {present or '0 (the CPU)'}"
        )
    return present if cfg.NUM_GPUS < 0 else int(cfg.NUM_GPUS)
