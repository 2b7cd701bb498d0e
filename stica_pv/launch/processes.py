"""Starts the processes of a machine, waits for them, and raises the error of the first that failed."""

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

from stica_pv.command_line import tolerate_closed_stdout
from stica_pv.config import CfgNode
from stica_pv.data.isolation.parent_death import end_with_parent, watched_parent
from stica_pv.errors import PeerFailed, RunFailed, RunStopped, SignalReceived, UnreadableClip, UsageError
from stica_pv.launch.process import RunFunction, run_process
from stica_pv.launch.process_spec import TCP, ProcessSpec
from stica_pv.launch.relay import SignalRelay
from stica_pv.launch.rendezvous import address_of, declare_failure, failure_reason, open_local_store
from stica_pv.launch.watchdog import EXIT_CODE

GRACE_S = 60.0  # time for the others to save and end once one has failed
LONGEST_TEXT = 10_000  # letters of a reason: a pipe that nobody reads takes no more than 64 KB


@dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
        kind: Class name of the error; "" for none.
        text: Message of the error.
        number: Number of the signal that stopped or killed the process; 0 for none.
    """

    kind: str = ""
    text: str = ""
    number: int = 0

    @property
    def failed(self) -> bool:
        """Whether the other processes must stop and may not know it yet."""
        return self.kind not in ("", RunStopped.__name__)


def run_processes(job: RunFunction, cfg: CfgNode, specs: Sequence[ProcessSpec]) -> None:
    """Runs ``job(cfg, device)`` in one process per spec, all on this machine.

    Raises:
        UsageError, RunStopped, RunFailed: The error of the first process that failed, or that it was killed.
        SignalReceived: A signal ended them outside of training.
    """
    store, specs = _with_store(specs)
    started: list[_Started] = []

    def send(number: int) -> None:
        for one in started:
            one.send(number)

    with SignalRelay(send) as relay:
        try:
            with _ctrl_c_blocked():
                for spec in specs:
                    started.append(_Started(job, cfg, spec))
            if relay.number:  # it came before all had started
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
        ends: Ends of the processes, in the order of time.
        number: Number of the signal that this process forwarded to them; 0 for none.
    """
    known: dict[str, type[Exception]] = {kind.__name__: kind for kind in (UsageError, RunFailed, PeerFailed)}
    own = [end for end in ends if end.kind in known and not (number and end.number)]  # otherwise this process killed it
    own.sort(key=lambda end: end.kind == PeerFailed.__name__)  # the process that failed by itself may end later
    if own:
        raise known[own[0].kind](own[0].text)
    for end in ends:
        if end.kind == RunStopped.__name__:
            raise RunStopped(end.text, number or end.number)
    received = number or next((end.number for end in ends if end.kind), 0)
    if received:
        raise SignalReceived(received)


def _with_store(specs: Sequence[ProcessSpec]) -> tuple[dist.Store | None, Sequence[ProcessSpec]]:
    """Opens a store in this process, which outlives the others, if all of them are on this machine."""
    if not specs[0].one_machine:
        return None, specs
    port = address_of(specs[0])[1] if specs[0].init_method else 0
    try:
        store = open_local_store(port)
    except OSError as error:
        raise UsageError(f"--init_method: port {port} of this machine is not available: {error.strerror}") from error
    method = f"{TCP}{store.host}:{store.port}"
    return store, [replace(spec, init_method=method, hosted=True) for spec in specs]


class _Started:
    """A started process.

    Attributes:
        spec: Description of the process.
        process: The process.
    """

    def __init__(self, job: RunFunction, cfg: CfgNode, spec: ProcessSpec) -> None:
        self.spec = spec
        self._pipe, theirs = multiprocessing.Pipe(duplex=False)
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=_run, args=(job, cfg, spec, theirs, watched_parent()))
        self.process.start()
        theirs.close()

    def send(self, number: int) -> None:
        """Sends a signal, if the process is alive."""
        if self.process.is_alive() and self.process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, number)

    def end(self, store: dist.Store | None) -> End:
        """Waits until the process ends; returns how it ended, from the store if it could not report itself."""
        self.process.join()
        try:
            return End(*json.loads(self._pipe.recv_bytes()))
        except EOFError:  # it could not report
            code = self.process.exitcode or 0
            if code == EXIT_CODE and store is not None and (reason := failure_reason(store, self.spec)):
                return End(PeerFailed.__name__, reason)
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
            text = f"process {self.spec.rank} of {self.spec.world_size} {how}"
            return End(RunFailed.__name__, text, max(0, -code))


def _wait(started: Sequence[_Started], store: dist.Store | None) -> list[End]:
    """Waits until all have ended, or `GRACE_S` after one has failed; returns their ends in the order of time."""
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
                    declare_failure(store, one.spec, ends[-1].text or "a signal ended another process")
    return ends


@contextlib.contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Blocks SIGINT here, and for good in processes started meanwhile: a terminal sends them Ctrl-C too."""
    resource_tracker.ensure_running()  # its start would end the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(job: RunFunction, cfg: CfgNode, spec: ProcessSpec, pipe: Connection, parent: int) -> None:
    """Runs the job in a started process; never raises, and reports through the pipe how it ended."""
    end_with_parent(parent, signal.SIGTERM)  # which saves first
    with tolerate_closed_stdout():
        end = _outcome(job, cfg, spec)
    with contextlib.suppress(BrokenPipeError):  # the parent was killed
        pipe.send_bytes(json.dumps([end.kind, end.text[:LONGEST_TEXT], end.number]).encode())
    sys.exit(int(bool(end.kind)))


def _outcome(job: RunFunction, cfg: CfgNode, spec: ProcessSpec) -> End:
    try:
        run_process(job, cfg, spec)
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
    except Exception as error:  # a bug keeps its traceback
        traceback.print_exc()
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return End(RunFailed.__name__, f"process {spec.rank} of {spec.world_size}: {reason} (see the traceback)")
    return End()
