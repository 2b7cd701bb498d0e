"""How the processes of a run find each other: who has not come is named, with what to check."""

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
LAST_WORD_S = 5.0  # for the others to hear why process 0 goes
SHOWN_RANKS = 16
WORD = "word"  # key of what process 0 says when all have come: "", or why the run is over
VERDICT = "verdict"  # key of why the run is over, from then on


@dataclass(frozen=True)
class Rendezvous:
    """What a process has of the others once all have come.

    Attributes:
        store: For their collective operations.
        watch: The same, over a connection of its own: a process that waits in `store` still answers here.
        greetings: What they told, in the order of ranks (of the main process; elsewhere empty).
    """

    store: dist.Store
    watch: dist.Store
    greetings: list[str]


# One store for each address and process: configurations that run one after the other meet in the same.
_stores: dict[tuple[str, int], tuple[dist.TCPStore, dist.TCPStore]] = {}
_meetings = 0


def address_of(place: ProcessSpec) -> tuple[str, int]:
    """Host and port where the processes of a run meet; the host is this machine's own address if all are here.

    Raises:
        UsageError: The environment or --init_method does not name both.
    """
    if place.init_method == ENVIRONMENT:
        host, port = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
        if not host or not port.isdecimal():
            raise UsageError(f"RANK is set, so MASTER_ADDR and MASTER_PORT must be: got {host!r} and {port!r}")
        return (LOOPBACK if place.one_machine and not place.hosted else host), int(port)
    try:
        parts = urlsplit(place.init_method)
        found = parts.hostname, parts.port
    except ValueError:
        found = None, None
    if not found[0] or not found[1]:
        raise UsageError(f"--init_method: got {place.init_method!r}, expected tcp://<host of shard 0>:<port>")
    return (LOOPBACK if place.one_machine else found[0]), found[1]


def meet(place: ProcessSpec, greeting: str, timeout_s: float, folder: Path) -> Rendezvous:
    """Waits until all processes have come.

    Args:
        place: Of this process.
        greeting: What it tells the others.
        timeout_s: Longest wait, in seconds.
        folder: OUTPUT_DIR; see `stica_pv.launch.run_token`.

    Raises:
        UsageError: A rank exists twice, or processes expect different numbers of them.
        RunFailed: Not all came in time; the message names who is missing.
    """
    global _meetings
    _meetings += 1
    deadline = time.monotonic() + timeout_s
    first, second = _open_stores(place, timeout_s)
    public = dist.PrefixStore(_prefix("", _meetings), first)
    with token_of(place, public, folder, deadline) as token:
        store, watch = (dist.PrefixStore(_prefix(token, _meetings), connection) for connection in (first, second))
        if store.add(f"taken/{place.rank}", 1) > 1:
            raise UsageError(
                f"process {place.rank} of {place.world_size} has come twice: is each SHARD_ID given once, and is no "
                "run of before still alive?"
            )
        store.set(f"greeting/{place.rank}", f"{place.world_size} {greeting}")
        if place.rank:
            _await_word(store, place, timeout_s)
            return Rendezvous(store, watch, [])
        found = _await_all(store, place, deadline, timeout_s)
    wrong = [rank for rank, (world, _, _) in enumerate(found) if world != str(place.world_size)]
    if wrong:
        word = (
            f"process {wrong[0]} expects {found[wrong[0]][0]} processes and process 0 {place.world_size}: "
            "give NUM_SHARDS and the number of processes alike on every machine"
        )
        _tell(store, word, range(1, place.world_size))
        raise UsageError(word)
    store.set(WORD, "")
    return Rendezvous(store, watch, [text for _, _, text in found])


def declare_failure(store: dist.Store, place: ProcessSpec, reason: str) -> None:
    """Tells the processes of a run why it is over, from the process that has started them and keeps their store."""
    dist.PrefixStore(_prefix(place.token, 1), store).compare_set(VERDICT, "", reason)


def failure_reason(store: dist.Store, place: ProcessSpec) -> str:
    """Returns why the run of a place is over, from the store that this process keeps; "" while it is not."""
    own = dist.PrefixStore(_prefix(place.token, 1), store)
    return str(own.get(VERDICT).decode()) if own.check([VERDICT]) else ""


def _prefix(token: str, number: int) -> str:
    """Of the keys of a meeting. torchrun's store outlives an attempt, and holds what the processes of it said."""
    return f"stica_pv/{token}/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}/{number}"


def open_local_store(port: int) -> dist.TCPStore:
    """Opens a store that only processes of this machine reach.

    Args:
        port: Where it listens; 0 for any that is free.

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


def _open_stores(place: ProcessSpec, timeout_s: float) -> tuple[dist.TCPStore, dist.TCPStore]:
    """Two connections to the store that process 0, or whoever started it, keeps."""
    host, port = address_of(place)
    if (host, port) in _stores:
        return _stores[host, port]
    hosts = place.rank == 0 and not place.hosted
    timeout = timedelta(seconds=timeout_s)
    try:
        if hosts and place.one_machine:
            first = open_local_store(port)
        else:
            first = dist.TCPStore(host, port, None, hosts, timeout, wait_for_workers=False, multi_tenant=True)
        second = dist.TCPStore(host, port, None, False, timeout, wait_for_workers=False)
    except (RuntimeError, ValueError, OSError) as error:  # torch's network errors are RuntimeErrors
        doing = "could not open" if hosts else f"did not reach process 0 within {timeout_s:.0f} s at"
        raise RunFailed(
            f"process {place.rank} of {place.world_size} {doing} {host}:{port} ({' '.join(str(error).split())[:200]}): "
            f"{_advice(place)}"
        ) from error
    _stores[host, port] = first, second
    return first, second


def _await_all(store: dist.Store, place: ProcessSpec, deadline: float, timeout_s: float) -> list[tuple[str, str, str]]:
    """Returns each greeting as (world size, space, text); tells the others when somebody is missing."""
    keys = [f"greeting/{rank}" for rank in range(place.world_size)]
    while not store.check(keys):
        if store.check([VERDICT]):
            raise RunFailed(store.get(VERDICT).decode())
        if time.monotonic() > deadline:
            missing = [rank for rank, key in enumerate(keys) if not store.check([key])]
            shown = ", ".join(map(str, missing[:SHOWN_RANKS])) + (", …" if len(missing) > SHOWN_RANKS else "")
            host, port = address_of(place)
            word = (
                f"{len(missing)} of {place.world_size} processes (numbers {shown}) have not come to {host}:{port} "
                f"within {timeout_s:.0f} s: {_advice(place)}"
            )
            _tell(store, word, [rank for rank in range(1, place.world_size) if rank not in missing])
            raise RunFailed(word)
        time.sleep(PAUSE_S)
    return [value.decode().partition(" ") for value in store.multi_get(keys)]


def _tell(store: dist.Store, word: str, ranks: Iterable[int]) -> None:
    """Tells why the run is over, and waits a little until the others, whose store goes with process 0, have heard."""
    store.set(WORD, word)
    until = time.monotonic() + LAST_WORD_S
    while not all(store.check([f"{WORD}/{rank}"]) for rank in ranks) and time.monotonic() < until:
        time.sleep(PAUSE_S)


def _await_word(store: dist.Store, place: ProcessSpec, timeout_s: float) -> None:
    word, deadline = WORD, time.monotonic() + timeout_s + 10  # process 0 is to speak first: it knows who is missing
    try:
        while not store.check([word]):
            if time.monotonic() > deadline:
                raise RunFailed(f"process 0 gave process {place.rank} no word within {timeout_s:.0f} s")
            time.sleep(PAUSE_S)
            word = VERDICT if store.check([VERDICT]) else WORD
        reason = store.get(word).decode()
        store.set(f"{WORD}/{place.rank}", "")
    except RuntimeError as error:
        host, port = address_of(place)
        raise RunFailed(f"process 0 at {host}:{port} has ended before process {place.rank} had its word") from error
    if reason:
        raise RunFailed(reason)


def _advice(place: ProcessSpec) -> str:
    if place.init_method == ENVIRONMENT:
        return "do all of them run, can MASTER_ADDR be reached from every machine, is MASTER_PORT free and not blocked?"
    return "does every machine run, is each SHARD_ID given once, can the address be reached, is the port free?"
