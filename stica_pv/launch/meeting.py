"""How the processes of a run find each other: who has not come is named, with what to check."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import torch.distributed as dist

from stica_pv.errors import RunFailed, UsageError
from stica_pv.launch.place import ENVIRONMENT, Place

PAUSE_S = 0.1
LAST_WORD_S = 5.0  # for the others to hear why process 0 goes
SHOWN_RANKS = 16


@dataclass(frozen=True)
class Meeting:
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


def address_of(place: Place) -> tuple[str, int]:
    """Host and port where the processes of a run meet.

    Raises:
        UsageError: The environment or --init_method does not name both.
    """
    if place.init_method == ENVIRONMENT:
        host, port = os.environ.get("MASTER_ADDR", ""), os.environ.get("MASTER_PORT", "")
        if not host or not port.isdecimal():
            raise UsageError(f"RANK is set, so MASTER_ADDR and MASTER_PORT must be: got {host!r} and {port!r}")
        return host, int(port)
    try:
        parts = urlsplit(place.init_method)
        found = parts.hostname, parts.port
    except ValueError:
        found = None, None
    if not found[0] or not found[1]:
        raise UsageError(f"--init_method: got {place.init_method!r}, expected tcp://<host of shard 0>:<port>")
    return found[0], found[1]


def meet(place: Place, greeting: str, timeout_s: float) -> Meeting:
    """Waits until all processes have come.

    Args:
        place: Of this process.
        greeting: What it tells the others.
        timeout_s: Longest wait, in seconds.

    Raises:
        UsageError: A rank exists twice, or processes expect different numbers of them.
        RunFailed: Not all came in time; the message names who is missing.
    """
    global _meetings
    _meetings += 1
    deadline = time.monotonic() + timeout_s
    prefix = f"stica_pv/{_attempt()}/{_meetings}"
    store, second = (dist.PrefixStore(prefix, connection) for connection in _open_stores(place, timeout_s))
    if store.add(f"taken/{place.rank}", 1) > 1:
        raise UsageError(
            f"process {place.rank} of {place.world_size} has come twice: is each SHARD_ID given once, and is no run of "
            "before still alive?"
        )
    store.set(f"greeting/{place.rank}", f"{place.world_size} {greeting}")
    if place.rank:
        _await_word(store, place, timeout_s)
        return Meeting(store, second, [])
    found = _await_all(store, place, deadline, timeout_s)
    wrong = [rank for rank, (world, _, _) in enumerate(found) if world != str(place.world_size)]
    if wrong:
        word = (
            f"process {wrong[0]} expects {found[wrong[0]][0]} processes and process 0 {place.world_size}: "
            "give NUM_SHARDS and the number of processes alike on every machine"
        )
        _tell(store, word, range(1, place.world_size))
        raise UsageError(word)
    store.set("word", "")
    return Meeting(store, second, [text for _, _, text in found])


def _attempt() -> str:
    """Number of torchrun's attempt at the run: its store outlives the processes, and holds what those before said."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def _open_stores(place: Place, timeout_s: float) -> tuple[dist.TCPStore, dist.TCPStore]:
    """Two connections to the store that process 0, or torchrun, keeps."""
    host, port = address_of(place)
    if (host, port) in _stores:
        return _stores[host, port]
    # torchrun keeps the store itself, so that it outlives process 0.
    hosts = place.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    timeout = timedelta(seconds=timeout_s)
    try:
        first = dist.TCPStore(host, port, None, hosts, timeout, wait_for_workers=False, multi_tenant=True)
        second = dist.TCPStore(host, port, None, False, timeout, wait_for_workers=False)
    except (RuntimeError, ValueError) as error:  # torch's network errors are RuntimeErrors
        doing = "could not open" if hosts else f"did not reach process 0 within {timeout_s:.0f} s at"
        raise RunFailed(
            f"process {place.rank} of {place.world_size} {doing} {host}:{port} ({' '.join(str(error).split())[:200]}): "
            f"{_advice(place)}"
        ) from error
    _stores[host, port] = first, second
    return first, second


def _await_all(store: dist.Store, place: Place, deadline: float, timeout_s: float) -> list[tuple[str, str, str]]:
    """Returns each greeting as (world size, space, text); tells the others when somebody is missing."""
    keys = [f"greeting/{rank}" for rank in range(place.world_size)]
    while not store.check(keys):
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
    store.set("word", word)
    until = time.monotonic() + LAST_WORD_S
    while not all(store.check([f"word/{rank}"]) for rank in ranks) and time.monotonic() < until:
        time.sleep(PAUSE_S)


def _await_word(store: dist.Store, place: Place, timeout_s: float) -> None:
    try:
        store.wait(["word"], timedelta(seconds=timeout_s + 10))  # process 0 is to speak first: it knows who is missing
        word = store.get("word").decode()
        store.set(f"word/{place.rank}", "")
    except RuntimeError as error:
        host, port = address_of(place)
        raise RunFailed(
            f"process 0 at {host}:{port} gave process {place.rank} no word within {timeout_s:.0f} s, or has ended"
        ) from error
    if word:
        raise RunFailed(word)


def _advice(place: Place) -> str:
    if place.init_method == ENVIRONMENT:
        return "do all of them run, can MASTER_ADDR be reached from every machine, is MASTER_PORT free and not blocked?"
    return "does every machine run, is each SHARD_ID given once, can the address be reached, is the port free?"
