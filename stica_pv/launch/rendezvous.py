"""Rendezvous of the processes of a run; an error names the missing ones and what to check."""

import os
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import torch.distributed as dist

from stica_pv.errors import RunFailed, UsageError
from stica_pv.launch.process_spec import ENVIRONMENT, LOOPBACK, ProcessSpec
from stica_pv.launch.run_token import token_of

PAUSE_S = 0.1
REPORT_WAIT_S = 5.0  # time for the others to read why process 0 ends
SHOWN_RANKS = 16
START = "start"  # key that process 0 sets once all have connected: "", or the failure reason
FAILURE = "failure"  # key of the failure reason after that


@dataclass(frozen=True)
class Rendezvous:
    """Connections of a process to the others, once all have connected.

    Attributes:
        store: Store for collective operations.
        watch: The same store over a second connection, which still answers while `store` waits.
        hellos: Hello messages of all processes in the order of ranks; empty on all but the main process.
    """

    store: dist.Store
    watch: dist.Store
    hellos: list[str]


# One store per address and process: configurations that run one after the other share it.
_stores: dict[tuple[str, int], tuple[dist.TCPStore, dist.TCPStore]] = {}
_count = 0


def address_of(spec: ProcessSpec) -> tuple[str, int]:
    """Returns host and port of the rendezvous; the host is the loopback address if all processes are on this machine.

    Raises:
        UsageError: The environment or --init_method does not name both.
    """
    if spec.init_method == ENVIRONMENT:
        host, port = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
        if not host or not port.isdecimal():
            raise UsageError(f"RANK is set, so MASTER_ADDR and MASTER_PORT must be: got {host!r} and {port!r}")
        return (LOOPBACK if spec.one_machine and not spec.hosted else host), int(port)
    try:
        parts = urlsplit(spec.init_method)
        found = parts.hostname, parts.port
    except ValueError:
        found = None, None
    if not found[0] or not found[1]:
        raise UsageError(f"--init_method: got {spec.init_method!r}, expected tcp://<host of shard 0>:<port>")
    return (LOOPBACK if spec.one_machine else found[0]), found[1]


def rendezvous(spec: ProcessSpec, hello: str, timeout_s: float, folder: Path) -> Rendezvous:
    """Waits until all processes have connected.

    Args:
        spec: This process.
        hello: Message of this process for the log of the main process.
        timeout_s: Longest wait, in seconds.
        folder: OUTPUT_DIR; see `stica_pv.launch.run_token`.

    Raises:
        UsageError: A rank exists twice, or processes expect different numbers of them.
        RunFailed: Not all connected in time; the message names the missing ones.
    """
    global _count
    _count += 1
    deadline = time.monotonic() + timeout_s
    first, second = _open_stores(spec, timeout_s)
    public = dist.PrefixStore(_prefix("", _count), first)
    with token_of(spec, public, folder, deadline) as token:
        store, watch = (dist.PrefixStore(_prefix(token, _count), connection) for connection in (first, second))
        if store.add(f"taken/{spec.rank}", 1) > 1:
            raise UsageError(
                f"process {spec.rank} of {spec.world_size} connected twice: is each SHARD_ID used once, and has "
                "every earlier run ended?"
            )
        store.set(f"hello/{spec.rank}", f"{spec.world_size} {hello}")
        if spec.rank:
            _await_start(store, spec, timeout_s)
            return Rendezvous(store, watch, [])
        found = _await_all(store, spec, deadline, timeout_s)
    wrong = [rank for rank, (world, _, _) in enumerate(found) if world != str(spec.world_size)]
    if wrong:
        reason = (
            f"process {wrong[0]} expects {found[wrong[0]][0]} processes and process 0 {spec.world_size}: "
            "set NUM_SHARDS and the number of processes to the same values on every machine"
        )
        _refuse_start(store, reason, range(1, spec.world_size))
        raise UsageError(reason)
    store.set(START, "")
    return Rendezvous(store, watch, [text for _, _, text in found])


def declare_failure(store: dist.Store, spec: ProcessSpec, reason: str) -> None:
    """Sends a failure reason to the processes of a run, from the process that started them and hosts their store."""
    dist.PrefixStore(_prefix(spec.token, 1), store).compare_set(FAILURE, "", reason)


def failure_reason(store: dist.Store, spec: ProcessSpec) -> str:
    """Returns the failure reason of a run from the store that this process hosts; "" if it did not fail."""
    own = dist.PrefixStore(_prefix(spec.token, 1), store)
    return str(own.get(FAILURE).decode()) if own.check([FAILURE]) else ""


def _prefix(token: str, number: int) -> str:
    """Returns the prefix of the keys of a rendezvous. The store of torchrun outlives an attempt and keeps its keys."""
    return f"stica_pv/{token}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{number}"


def open_local_store(port: int) -> dist.TCPStore:
    """Opens a store that only processes of this machine reach.

    Args:
        port: Port that it listens on; 0 for any free port.

    Raises:
        OSError: The port is in use.
    """
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((LOOPBACK, port))
        listener.listen(socket.SOMAXCONN)
        descriptor = os.dup(listener.fileno())  # the store closes its own
        port = listener.getsockname()[1]
        return dist.TCPStore(LOOPBACK, port, None, True, wait_for_workers=False, master_listen_fd=descriptor)
    finally:
        listener.close()


def _open_stores(spec: ProcessSpec, timeout_s: float) -> tuple[dist.TCPStore, dist.TCPStore]:
    """Opens two connections to the store that process 0, or the process that started it, hosts."""
    host, port = address_of(spec)
    if (host, port) in _stores:
        return _stores[host, port]
    hosts = spec.rank == 0 and not spec.hosted
    timeout = timedelta(seconds=timeout_s)
    try:
        if hosts and spec.one_machine:
            first = open_local_store(port)
        else:
            first = dist.TCPStore(host, port, None, hosts, timeout, wait_for_workers=False, multi_tenant=True)
        second = dist.TCPStore(host, port, None, False, timeout, wait_for_workers=False)
    except (RuntimeError, ValueError, OSError) as error:  # torch's network errors are RuntimeErrors
        doing = "could not open" if hosts else f"did not reach process 0 within {timeout_s:.0f} s at"
        raise RunFailed(
            f"process {spec.rank} of {spec.world_size} {doing} {host}:{port} ({' '.join(str(error).split())[:200]}): "
            f"{_advice(spec)}"
        ) from error
    _stores[host, port] = first, second
    return first, second


def _await_all(store: dist.Store, spec: ProcessSpec, deadline: float, timeout_s: float) -> list[tuple[str, str, str]]:
    """Returns each hello as (world size, space, text); if one is missing, sends the reason to the others and raises."""
    keys = [f"hello/{rank}" for rank in range(spec.world_size)]
    while not store.check(keys):
        if store.check([FAILURE]):
            raise RunFailed(store.get(FAILURE).decode())
        if time.monotonic() > deadline:
            missing = [rank for rank, key in enumerate(keys) if not store.check([key])]
            shown = ", ".join(map(str, missing[:SHOWN_RANKS])) + (", …" if len(missing) > SHOWN_RANKS else "")
            host, port = address_of(spec)
            reason = (
                f"{len(missing)} of {spec.world_size} processes (ranks {shown}) have not connected to {host}:{port} "
                f"within {timeout_s:.0f} s: {_advice(spec)}"
            )
            _refuse_start(store, reason, [rank for rank in range(1, spec.world_size) if rank not in missing])
            raise RunFailed(reason)
        time.sleep(PAUSE_S)
    return [value.decode().partition(" ") for value in store.multi_get(keys)]


def _refuse_start(store: dist.Store, reason: str, ranks: Iterable[int]) -> None:
    """Sends the failure reason, and waits until the others, whose store ends with process 0, have read it."""
    store.set(START, reason)
    until = time.monotonic() + REPORT_WAIT_S
    while not all(store.check([f"{START}/{rank}"]) for rank in ranks) and time.monotonic() < until:
        time.sleep(PAUSE_S)


def _await_start(store: dist.Store, spec: ProcessSpec, timeout_s: float) -> None:
    key, deadline = START, time.monotonic() + timeout_s + 10  # process 0 answers first: it knows who is missing
    try:
        while not store.check([key]):
            if time.monotonic() > deadline:
                raise RunFailed(f"process 0 did not answer process {spec.rank} within {timeout_s:.0f} s")
            time.sleep(PAUSE_S)
            key = FAILURE if store.check([FAILURE]) else START
        reason = store.get(key).decode()
        store.set(f"{START}/{spec.rank}", "")
    except RuntimeError as error:
        host, port = address_of(spec)
        raise RunFailed(f"process 0 at {host}:{port} ended before it answered process {spec.rank}") from error
    if reason:
        raise RunFailed(reason)


def _advice(spec: ProcessSpec) -> str:
    if spec.init_method == ENVIRONMENT:
        return (
            "are all of them running, is MASTER_ADDR reachable from every machine, is MASTER_PORT free and not blocked?"
        )
    return "is every machine running, is each SHARD_ID used once, is the address reachable, is the port free?"
