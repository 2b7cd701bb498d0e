"""Starts the processes of a machine, waits for them, and ends as the first of them that failed."""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

import torch.distributed as dist

from stica_pv.command_line import output_that_may_be_left
from stica_pv.config import CfgNode
from stica_pv.data.isolation.parent_death import end_with_parent, watched_parent
from stica_pv.errors import PeerFailed, RunFailed, RunStopped, SignalReceived, UnreadableClip, UsageError
from stica_pv.launch.process import Job, enter
from stica_pv.launch.process_spec import TCP, ProcessSpec
from stica_pv.launch.relay import SignalRelay
from stica_pv.launch.rendezvous import address_of, declare_failure, failure_reason, open_local_store
from stica_pv.launch.watchdog import EXIT_CODE

GRACE_S = 60.0  # for the others to save and to end, once one has failed
LONGEST_TEXT = 10_000  # letters of a reason: a pipe that nobody reads takes no more than 64 KB


@dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
        kind: Name of its error; "" for none.
        text: Message of that.
        number: The signal that stopped or killed it; 0 for none.
    """

    kind: str = ""
    text: str = ""
    number: int = 0

    @property
    def failed(self) -> bool:
        """Whether the others are not to go on, and may not know."""
        return self.kind not in ("", RunStopped.__name__)


def run_processes(job: Job, cfg: CfgNode, places: Sequence[ProcessSpec]) -> None:
    """Runs ``job(cfg, device)`` in a process for each place, all of this machine.

    Raises:
        UsageError, RunStopped, RunFailed: What the first that failed has raised, or that it was killed.
        SignalReceived: A signal ended them outside of training.
    """
    store, places = _with_store(places)
    started: list[_Started] = []

    def send(number: int) -> None:
        for one in started:
            one.send(number)

    with SignalRelay(send) as relay:
        try:
            with _ctrl_c_blocked():
                for place in places:
                    started.append(_Started(job, cfg, place))
            if relay.number:  # it came before all were there
                send(signal.SIGTERM)
            ends = _wait(started, store)
        finally:
            send(signal.SIGKILL)
            for one in started:
                one.process.join()
    raise_end(ends, relay.number)


def raise_end(ends: Sequence[End], number: int) -> None:
    """Raises the error that the processes of a run ended with.

    Args:
        ends: Of the processes, in the order of time.
        number: The signal that this process handed on to them; 0 for none.
    """
    known: dict[str, type[Exception]] = {kind.__name__: kind for kind in (UsageError, RunFailed, PeerFailed)}
    own = [end for end in ends if end.kind in known and not (number and end.number)]  # else we have killed it
    own.sort(key=lambda end: end.kind == PeerFailed.__name__)  # who failed by itself may take longer to end
    if own:
        raise known[own[0].kind](own[0].text)
    for end in ends:
        if end.kind == RunStopped.__name__:
            raise RunStopped(end.text, number or end.number)
    received = number or next((end.number for end in ends if end.kind), 0)
    if received:
        raise SignalReceived(received)


def _with_store(places: Sequence[ProcessSpec]) -> tuple[dist.Store | None, Sequence[ProcessSpec]]:
    """Opens a store in this process, which outlives the others, where all are on this machine."""
    if not places[0].one_machine:
        return None, places
    port = address_of(places[0])[1] if places[0].init_method else 0
    try:
        store = open_local_store(port)
    except OSError as error:
        raise UsageError(f"--init_method: port {port} of this machine cannot be used: {error.strerror}") from error
    method = f"{TCP}{store.host}:{store.port}"
    return store, [replace(place, init_method=method, hosted=True) for place in places]


class _Started:
    """A process that was started for a place.

    Attributes:
        place: The place.
        process: The process.
    """

    def __init__(self, job: Job, cfg: CfgNode, place: ProcessSpec) -> None:
        self.place = place
        self._pipe, theirs = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_run, args=(job, cfg, place, theirs, watched_parent()))
        self.process.start()
        theirs.close()

    def send(self, number: int) -> None:
        """Sends a signal, if the process is alive."""
        if self.process.is_alive() and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def end(self, store: dist.Store | None) -> End:
        """Waits for the end, and returns how it was; the store says why a process ended that could not."""
        self.process.join()
        try:
            return End(*json.loads(self._pipe.recv_bytes()))
        except EOFError:  # it had no time to say anything
            code = self.process.exitcode or 0
            if code == EXIT_CODE and store is not None and (reason := failure_reason(store, self.place)):
                return End(PeerFailed.__name__, reason)
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            text = f"process {self.place.rank} of {self.place.world_size} {how}"
            return End(RunFailed.__name__, text, max(0, -code))


def _wait(started: Sequence[_Started], store: dist.Store | None) -> list[End]:
    """Waits until all have ended, or for a while after one has failed; returns their ends in the order of time."""
    running: dict[object, _Started] = {one.process.sentinel: one for one in started}
    ends: list[End] = []
    until = float("inf")
    while running and time.monotonic() < until:
        for sentinel in wait([one.process.sentinel for one in running.values()], timeout=1.0):
            one = running.pop(sentinel)
            ends.append(one.end(store))
            if ends[-1].failed and until == float("inf"):
                until = time.monotonic() + GRACE_S
                if store is not None:
                    declare_failure(store, one.place, ends[-1].text or "another process was ended by a signal")
    return ends


@contextlib.contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Keeps SIGINT from this process, and for good from those that it starts: a terminal sends them Ctrl-C too."""
    resource_tracker.ensure_running()  # its start would end the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(job: Job, cfg: CfgNode, place: ProcessSpec, pipe: Connection, parent: int) -> None:
    """What a started process does; it never raises, and says through the pipe how it ended."""
    end_with_parent(parent, signal.SIGTERM)  # which saves first
    with output_that_may_be_left():
        end = _outcome(job, cfg, place)
    with contextlib.suppress(BrokenPipeError):  # the one that started it was killed
        pipe.send_bytes(json.dumps([end.kind, end.text[:LONGEST_TEXT], end.number]).encode())
    sys.exit(int(bool(end.kind)))


def _outcome(job: Job, cfg: CfgNode, place: ProcessSpec) -> End:
    try:
        enter(job, cfg, place)
    except SignalReceived as error:
        return End(SignalReceived.__name__, "", error.number)
    except RunStopped as error:
        return End(RunStopped.__name__, str(error), error.number)
    except UsageError as error:
        return End(UsageError.__name__, str(error))
    except PeerFailed as error:
        return End(PeerFailed.__name__, str(error))
    except (RunFailed, UnreadableClip) as error:
        return End(RunFailed.__name__, str(error))
    except Exception as error:  # a mistake of ours keeps its traceback
        traceback.print_exc()
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return End(RunFailed.__name__, f"process {place.rank} of {place.world_size}: {reason} (see the traceback)")
    return End()
