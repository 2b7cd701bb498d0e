"""Where the processes of a run stand: in this process, one per device of this machine, or as the environment says."""

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
    """Where one process of a run stands.

    Attributes:
        rank: Among all processes.
        local_rank: On this machine.
        world_size: Number of processes.
        init_method: Where they meet: ``tcp://host:port``, or ``env://`` for MASTER_ADDR and MASTER_PORT; "" where
            this is left to whoever starts them.
        gpu: Whether it runs on GPU `local_rank`.
        log_dir: Folder of its log file; "" for none.
        one_machine: Whether all processes run on this machine: nothing then listens to others.
        hosted: Whether somebody else keeps the store, who outlives process 0.
        token: See `stica_pv.launch.run_token`; "" where process 0 is to hand one out.
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
        """Where this process computes."""
        return torch.device("cuda", self.local_rank) if self.gpu else torch.device("cpu")

    def describe(self) -> str:
        """Host, device, CPUs that this process may use, and the folder that the package was imported from."""
        return (
            f"{socket.gethostname()}, process id {os.getpid()}, {self.device}, "
            f"CPUs {ranges(sorted(os.sched_getaffinity(0)))}, stica_pv from {package_folder()}"
        )


def package_folder() -> Path:
    """The folder that holds the imported package."""
    return Path(stica_pv.__file__).resolve().parent.parent


def ranges(numbers: list[int]) -> str:
    """Ascending numbers in short: ``0-3,8``."""
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
    """The place that RANK, WORLD_SIZE and LOCAL_RANK name, as torchrun and submitit set them; None without them."""
    if not ("RANK" in variables and "WORLD_SIZE" in variables):
        return None
    rank, world = int(variables["RANK"]), int(variables["WORLD_SIZE"])
    here = variables.get("LOCAL_WORLD_SIZE") == str(world)
    hosted = variables.get("TORCHELASTIC_USE_AGENT_STORE") == "True"  # torchrun keeps the store itself
    local = int(variables.get("LOCAL_RANK", rank))
    return ProcessSpec(rank, local, world, ENVIRONMENT, gpu, log_dir, one_machine=here, hosted=hosted, token=token)


def specs_of_machine(cfg: CfgNode, init_method: str | None, log_dir: str) -> list[ProcessSpec]:
    """The places of this machine's processes, as NUM_GPUS, CPU_PROCESSES, NUM_SHARDS and SHARD_ID say.

    Raises:
        UsageError: The numbers do not fit, or several machines have nowhere to meet.
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
    """Number of GPUs to use on this machine; refuses more than there are."""
    present = torch.cuda.device_count()
    if present < cfg.NUM_GPUS:
        raise UsageError(
            f"NUM_GPUS {cfg.NUM_GPUS}: this machine has {present}; use NUM_GPUS {present or '0 (the CPU)'}"
        )
    return present if cfg.NUM_GPUS < 0 else int(cfg.NUM_GPUS)
