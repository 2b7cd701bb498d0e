"""Attempts of a run: each is a process of its own that does what the command line does, and that can be killed.

They are forked from a server that has imported the package, which saves the seconds that every new Python spends on it.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from tiny_runs import REPOSITORY, tiny_cfg

from stica_pv.config import CfgNode
from stica_pv.launch.process import run_process
from stica_pv.launch.process_spec import ProcessSpec, specs_of_machine
from stica_pv.workflows.run import run

PATIENCE_S = 300.0

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["stica_pv.workflows.run", "stica_pv.launch"])


def begin(argv: Sequence[object], output_folder: Path, *, max_file_bytes: int = 0) -> BaseProcess:
    """Starts ``tools/run_net.py`` with arguments, as the leader of its own process group.

    Args:
        argv: The arguments.
        words_to: Folder that takes what it prints, as ``out`` and ``err``.
        max_file_bytes: Writing beyond this size fails, as on a full disk; 0 for no limit.
    """
    output_folder.mkdir(parents=True, exist_ok=True)
    attempt = CONTEXT.Process(target=_run_attempt, args=([str(part) for part in argv], output_folder, max_file_bytes))
    attempt.start()
    return attempt


def _run_attempt(argv: list[str], output_folder: Path, max_file_bytes: int) -> None:
    os.setsid()
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(output_folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    if max_file_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))
    spec = importlib.util.spec_from_file_location("run_net_of_an_attempt", REPOSITORY / "tools" / "run_net.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    sys.exit(tool.main(argv))


def run_in_processes(clips: Path, output: Path, **overrides: Any) -> None:
    """Runs the tiny settings in CPU_PROCESSES processes that are forked, not started anew; all must end well."""
    cfg = tiny_cfg(clips, output, **overrides)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    processes = [
        CONTEXT.Process(target=_run_one, args=(cfg, spec)) for spec in specs_of_machine(cfg, address, str(output))
    ]
    for process in processes:
        process.start()
    codes = [end_of(process) for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * len(codes)


def _run_one(cfg: CfgNode, spec: ProcessSpec) -> None:
    torch.set_num_threads(1)
    run_process(run, cfg, spec)


def end_of(attempt: BaseProcess) -> int | None:
    """Waits for an attempt to end by itself; its exit code."""
    attempt.join(PATIENCE_S)
    return attempt.exitcode


def kill(attempt: BaseProcess) -> None:
    """Ends an attempt and its workers as ``kill -9`` does, and waits until all are gone."""
    assert attempt.pid is not None
    try:
        os.killpg(attempt.pid, signal.SIGKILL)
    except ProcessLookupError:  # it does not lead its group yet
        with contextlib.suppress(ProcessLookupError):
            os.kill(attempt.pid, signal.SIGKILL)
    assert end_of(attempt) == -signal.SIGKILL
    assert all_have_ended(attempt)


def all_have_ended(attempt: BaseProcess) -> bool:
    """Waits for the end of all that an attempt has started."""
    assert attempt.pid is not None
    end = time.monotonic() + PATIENCE_S
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < end:
            os.killpg(attempt.pid, 0)
            time.sleep(0.01)
        return False
    return True
